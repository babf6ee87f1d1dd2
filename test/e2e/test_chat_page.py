"""The chat page in a headless Chromium. Skipped where there is none."""

import json
import os
import unittest

import browser
import servers

TEXTS = "Array.from(document.querySelectorAll('article.%s .text'), (e) => e.textContent)"


@unittest.skipUnless(browser.program(), "no Chromium")
class ChatPage(unittest.TestCase):
    def open(self, *arguments):
        server = servers.FakeServer(*arguments)
        self.addCleanup(server.close)
        page = browser.Browser()
        self.addCleanup(page.close)
        page.go(server.url + "/")
        page.wait("document.getElementById('state').textContent === 'ready'")
        return page

    def say(self, page, text):
        page.wait("document.activeElement.id === 'prompt'")
        page.type(text)
        page.wait("document.getElementById('prompt').value !== ''")
        page.press("Enter", text="\r")

    def answers(self, page, kind="assistant"):
        return page.evaluate(TEXTS % kind)

    def screenshot(self, page, name):
        folder = os.environ.get("SINTER_SCREENSHOTS")
        if folder:
            page.screenshot(os.path.join(folder, name))

    def test_a_conversation(self):
        page = self.open()
        page.wait("document.getElementById('model').textContent === 'fake'")
        self.say(page, "Hello <b>there</b> é")
        page.wait("!document.querySelector('.busy') && document.querySelectorAll('.note').length === 1")
        self.assertEqual(self.answers(page), ["Hello <b>there</b> é"], "text, not markup")
        page.type("two")
        page.press("Enter", text="\r", modifiers=8)
        page.type("lines")
        page.press("Enter", text="\r")
        page.wait("document.querySelectorAll('.note').length === 2")
        self.assertEqual(self.answers(page)[1], "two\nlines")
        self.assertEqual(page.evaluate("messages.length"), 4, "the conversation is sent along")
        self.assertIn("tokens", page.evaluate("document.querySelector('.note').textContent"))
        self.screenshot(page, "desktop.png")
        page.evaluate("document.getElementById('reset').click()")
        self.assertEqual(self.answers(page), [])
        self.assertEqual(page.evaluate("messages.length"), 0)
        self.assertEqual(page.problems, [])

    def test_thoughts_have_their_own_place(self):
        page = self.open()
        self.say(page, "<think>\nhm\n</think>\n\nYes.")
        page.wait("document.querySelector('.note')")
        self.assertEqual(self.answers(page), ["Yes."])
        self.assertEqual(page.evaluate("document.querySelector('.thoughts div').textContent"), "hm")

    def test_stop(self):
        page = self.open("--step-us", 20000)
        self.say(page, "a" * 1000)
        page.wait("document.querySelector('article.assistant .text').textContent.length > 3")
        self.assertFalse(page.evaluate("document.getElementById('stop').hidden"))
        page.press("Escape")
        page.wait("document.querySelector('.note')?.textContent === 'stopped'")
        self.assertLess(len(self.answers(page)[0]), 1000)
        running = "fetch('/metrics').then((r) => r.text()).then((t) => t.includes('sinter_samples_running 0\\n'))"
        page.wait(running, 2)
        self.say(page, "next")
        page.wait("document.querySelectorAll('.note').length === 2")
        self.assertEqual(self.answers(page)[1], "next")

    def test_settings_are_sent(self):
        page = self.open()
        page.evaluate("document.getElementById('max_tokens').value = 3")
        page.evaluate("document.getElementById('temperature').value = 0.5")
        self.say(page, "abcdef")
        page.wait("document.querySelector('.note')")
        self.assertEqual(self.answers(page), ["abc"])
        self.assertIn("limit", page.evaluate("document.querySelector('.note').textContent"))
        page.evaluate("document.getElementById('temperature').value = 9")
        self.say(page, "x")
        page.wait("document.querySelector('article.error')")
        self.assertIn("temperature", self.answers(page, "error")[0])

    def test_figures_are_live(self):
        page = self.open("--step-us", 5000)
        self.say(page, "b" * 600)
        page.wait("parseInt(document.getElementById('rate').textContent) > 20")
        page.wait("document.getElementById('running').textContent === '1, 0'")

    def test_the_key(self):
        page = self.open("--key", "secret")
        self.say(page, "hi")
        page.wait("document.querySelector('article.error')")
        page.evaluate("document.getElementById('key').value = 'secret'")
        self.say(page, "hi")
        page.wait("document.querySelectorAll('article.assistant .text')[1]?.textContent === 'hi'")

    def test_a_phone(self):
        page = self.open()
        page.resize(360, 700, mobile=True)
        page.go(page.evaluate("location.href"))
        page.wait("document.getElementById('state')?.textContent === 'ready'")
        self.say(page, "Hello " + "verylongword" * 20)
        page.wait("document.querySelector('.note')")
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 360, "nothing sticks out")
        box = json.loads(page.evaluate("JSON.stringify(document.getElementById('send').getBoundingClientRect())"))
        self.assertGreaterEqual(box["height"], 44, "large enough for a finger")
        self.assertLessEqual(box["bottom"], 700)
        self.screenshot(page, "phone.png")

    def test_accessible(self):
        page = self.open()
        unlabelled = page.evaluate(
            "Array.from(document.querySelectorAll('input, textarea, select')).filter((e) => !e.labels.length)"
            ".map((e) => e.id)")
        self.assertEqual(unlabelled, [])
        reached = set()
        for _ in range(25):
            page.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        for element in ("reset", "system", "temperature", "seed", "key", "prompt", "send"):
            self.assertIn(element, reached, "by keyboard")


if __name__ == "__main__":
    servers.main()
