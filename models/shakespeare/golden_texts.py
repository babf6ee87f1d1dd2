"""The texts behind golden/: what the tokenizer is asked, and what the model is prompted with.

None is quoted from the corpus at length; the prompts are written in its manner.
"""

import random

END = "<|endoftext|>"

TOKENIZER_TEXTS = [
    "",
    "a",
    "\n",
    " ",
    "ROMEO:\n",
    "ROMEO:\nBut soft, what light is this that breaks upon my sleep?\n\n",
    "First Citizen:\nWe are accounted poor, good neighbours.\n",
    "Thou art thyself, though not a Montague; 'tis but thy name.",
    "O, I'll be gone ere the lark sing. Thou'rt mine, they're thine, we've none, he'd go, I'm here.",
    "'Twas 'tis 'gainst o'er ne'er e'en th'art",
    "DON'T CAN'T I'LL WE'RE SHE'D I'M YOU'VE IT'S",
    "'S 'T 'RE 'VE 'M 'LL 'D '\u017f 'x",
    "KING RICHARD III:\nMy lord--my lord!--what, no?\n\n\n\nBUCKINGHAM:\n",
    " leading and trailing  ",
    "x   y    z\t \n",
    "   \n   \n x",
    "\r\n\r\nmixed\r\n \t tabs\t\t\n",
    "\n\n\n\n\n\n\n\n\n\n",
    " " * 70,
    "\t\t\tindent\n\t\tless\n\tone\nnone",
    "trailing newline and spaces \n  ",
    "1234567890 3.14159 1,000,000 007",
    "a1b2c3 4th 21st MDCXVI",
    "!!! ??? ... --- ,,, ;;; :::",
    "!\n?\r\n.\n\n,",
    "(parens) [brackets] {braces} <angles> \"quotes\" `ticks`",
    "http://example.com/a?b=c&d=e#f user@example.org",
    "C:\\dir\\file.txt /usr/bin/env",
    "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n",
    "{\"k\": [1, 2, {\"a\": null}]}",
    "__init__ snake_case camelCase PascalCase kebab-case SHOUT",
    "a" * 120,
    "ab" * 60,
    "the" * 40,
    "thethe the the  the\tthe",
    "Honorificabilitudinitatibus antidisestablishmentarianism",
    "caf\u00e9 na\u00efve fa\u00e7ade \u00fcber \u0152uvre",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
    "e\u0301 vs \u00e9, A\u030a vs \u00c5, \u212b vs \u00c5, \u2126 vs \u03a9",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00",
    "q\u0307\u0323 q\u0323\u0307 \u0301start",
    "\ufb01ligature \u2460 \u00bd \u2167 x\u00b2",
    "\u4e2d\u6587\u5206\u8bcd\u6d4b\u8bd5\u3002",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\u30ab\u3099",
    "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0401\u0436\u0438\u043a",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0661\u0662\u0663",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u096a\u096b\u096c",
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac",
    "Ti\u1ebfng Vi\u1ec7t \u0e44\u0e17\u0e22",
    "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd",
    "\U0001d518\U0001d52b\U0001d526 \U00020000\U0002a6d6",
    "\u00a0nbsp\u2003em\u3000wide\u200bzero\u2028line\u2029para\u0085nel",
    "\ufeffBOM soft\u00adhyphen rtl\u202eover\u202c",
    "\u0000nul\u0001\u001f\u007fcontrol",
    "\u201cCurly\u201d \u2018quotes\u2019 \u2014 dash\u2026",
    "a" + END + "b",
    END,
    END + END + "\n" + END,
    " " + END + " ",
    "<|endoftext|",
    "<|im_start|>user\nHi<|im_end|>",
    "\ufffd\uffff\U0010ffff",
]


def random_texts(count, seed=7):
    """Texts of random code points: ASCII, Latin, marks, CJK, astral; no surrogates."""
    rng = random.Random(seed)
    ranges = [(0x20, 0x7e), (0x20, 0x7e), (0x09, 0x0d), (0xa0, 0x24f), (0x300, 0x36f),
              (0x370, 0x5ff), (0x900, 0xdff), (0x1100, 0x11ff), (0x2000, 0x206f),
              (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0x1f300, 0x1faff)]
    return ["".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(5, 60)))
            for _ in range(count)]


LOGITS_SHORT = """MENENIUS:
Good morrow, neighbours; what is the noise I hear?
Why do you stand so idle in the street,
With clubs and staves, and anger in your eyes?

First Citizen:
We stand for bread, sir. Let the council know
That hunger is a voice that will be heard,
And needs no tribune.

MENENIUS:
"""

LOGITS_LONG = """KING EDWARD IV:
Now, brother, tell me truly what thou think'st:
Shall England have her peace, or must we march
Again to York, and spend another spring
In counting of our dead upon the field?

GLOUCESTER:
My liege, I hold that peace is but a sleep;
And he that sleeps may never wake again.
Let Warwick come, and let him bring the queen:
The sooner he be here, the sooner gone.

CLARENCE:
I am not so resolved. The people groan;
The fields are bare; the widows curse the king.
A month of quiet would more strength our cause
Than twenty thousand horse.

KING EDWARD IV:
Well hast thou said; and yet I cannot rest.
Go, bid the captains meet me here at noon:
What cannot be resolved with gentle words
Shall be resolved with steel. How now, what news?

Messenger:
My gracious lord, the earl is on his way,
With all his power, and hath sworn an oath
To see thee crownless ere the sun go down.

GLOUCESTER:
Then let us meet him, brother, on the road,
And make his oath the last that he shall swear.

KING EDWARD IV:
"""

GREEDY_PROMPTS = [
    END,
    "\n",
    "ROMEO",
    "The king",
    "JULIET:\n",
    "What, ho!",
    "KING RICHARD III:\n",
    "My lord, I",
    "First Citizen:\nYou are",
    "PETRUCHIO:\nCome, Kate,",
    "The duke is dead, and all",
    "QUEEN MARGARET:\nWhere is my son",
    "I know thee well; thou art",
    "ISABELLA:\nO, spare him, my good lord! He is",
    "Now, by my sword and by the crown of France,\n",
    "Nurse:\nPeace, peace! The lady sleeps, and will not wake.\n\nROMEO:\n",
    "LEONTES:\nToo hot, too hot! I have within my breast\nA trembling, and my heart",
    "PROSPERO:\nMy brave spirit, hast thou done the thing I bade thee do?\n\nARIEL:\nI have, my master, and",
    "1234 + 5678 = ? \u00e9\u4e2d \U0001f600 <tag>\n",
    "CORIOLANUS:\nYou common cry! What would you have me say?\nThat I have bled for Rome? I bled for none\n"
    "Of you, that know not how to use a sword.\n\n"
    "SICINIUS:\nHear you this, good people? He calls you cowards.\n\nCORIOLANUS:\n",
]
