"""The tools on a GPU, with a driver that runs on the host (test/runtime/fake/cuda)."""

import json
import os
import stat

import tools
from tools import ToolTest

PROMPT = ",".join(str((i * 17 + i * i) % 40) for i in range(40))


class CudaTest(ToolTest):
    def gpu(self, config="", driver=None):
        """The environment of a machine with a GPU that `config` spoils."""
        driver = driver or os.path.join(tools.BIN, "fake-cuda", "libcuda.so.1")
        return {**os.environ, "SINTER_CUDA_DRIVER": driver, "SINTER_FAKE_CUDA": config}

    def make_cuda(self, patch=None):
        made = tools.run(
            "make-fake-model", "--cuda", self.folder, *([json.dumps(patch)] if patch else [])
        )
        self.assertEqual(made.returncode, 0, made.stderr)
        return self.path("fake.sinter")


class RunTest(CudaTest):
    def test_every_way_to_run_gives_the_bits_of_the_cpu(self):
        flags = ["--token-ids", PROMPT, "--max-tokens", 20, "--ignore-eos", "-q"]
        seen = set()

        def add(model, way, **options):
            logits = self.path("logits.npy")
            text = self.succeed("sinter-run", model, *flags, *way, "--logits", logits, **options)
            with open(logits, "rb") as file:
                seen.add((text.stdout, file.read()))

        add(self.make_fake(), [])
        model = self.make_cuda()
        for way in [
            [],
            ["--no-pdl"],
            ["--no-graph"],
            ["--no-graph", "--no-pdl"],
            ["--debug", "sync"],
            ["--prefill-chunk", 7],
            ["--debug", "poison,shuffle-pages=3,share-pages", "--prefill-chunk", 8],
            ["--kv-memory", "8KB"],
        ]:
            add(model, way, env=self.gpu())
        for config in ["foreign-cubin=1", "capability=90,version=12010"]:
            add(model, [], env=self.gpu(config))
        self.assertEqual(len(seen), 1)

    def test_says_what_it_runs_on(self):
        model = self.make_cuda()
        flags = ["--token-ids", "1,2,3", "--max-tokens", 3, "--ignore-eos"]
        run = self.succeed("sinter-run", model, *flags, env=self.gpu("foreign-cubin=1"))
        self.assertEqual(
            run.stderr.splitlines()[:2],
            [
                "-- compiling kernels for sm_90 with the driver (cached by the driver)",
                "-- running on Fake GPU, sm_90",
            ],
        )
        self.assertRegex(run.stderr.splitlines()[2], r"^-- 3 tokens, .* of read bandwidth")
        report = self.succeed("sinter-run", model, *flags, "--json", "-q", env=self.gpu())
        self.assertEqual(json.loads(report.stdout)["device"], "Fake GPU, sm_90")
        self.assertEqual(report.stderr, "")

    def test_profile_counts_every_launch(self):
        model = self.make_cuda()
        flags = ["--token-ids", "1,2,3", "--max-tokens", 11, "--ignore-eos", "--profile"]
        for way in [[], ["--no-graph"]]:
            table = self.succeed("sinter-run", model, *flags, *way, env=self.gpu()).stderr
            self.assertIn("decode_argmax, 10 steps", table)
            self.assertRegex(table, r"attention attn +10 +10\.00 ")
            self.assertRegex(table, r"GFLOP/s +of peak +CTAs +regs +shared +CTAs/SM +occupancy +SMs\n")

    def test_random_weights_and_targets(self):
        model = self.make_cuda()
        os.remove(self.path("model.safetensors"))
        base = ["sinter-run", model, "--token-ids", "1,2", "--max-tokens", 9, "--ignore-eos", "-q"]
        for target in ["cuda", "cuda:sm_90a"]:
            self.succeed(*base, "--weights", "random:1", "--target", target, env=self.gpu())
        self.check_error("is compiled for cuda", *base, "--target", "cpu", env=self.gpu())
        self.check_error("is compiled for cuda", *base, "--target", "cuda:sm_80", env=self.gpu())
        for flags in (["--isa", "v3"], ["--no-data-parallel"]):
            self.check_error("--isa and --no-data-parallel are for CPUs", *base, *flags, env=self.gpu())
        cpu = ["sinter-run", self.make_fake(), "--token-ids", "1", "-q"]
        for flag in [["--no-graph"], ["--no-pdl"], ["--device", 0], ["--device", 1], ["--debug", "sync"]]:
            self.check_error("are for GPUs", *cpu, *flag)


class ErrorTest(CudaTest):
    def check_run(self, expected, config="", *flags, driver=None):
        model = self.path("fake.sinter")
        arguments = [model, "--token-ids", "1,2", "--max-tokens", 4, "--ignore-eos", "-q", *flags]
        self.check_error(expected, "sinter-run", *arguments, env=self.gpu(config, driver))

    def test_no_driver_no_gpu_old_driver(self):
        self.make_cuda()
        prefix = self.path("fake.sinter") + ": compiled for NVIDIA GPUs: "
        self.check_run(prefix + "no NVIDIA driver: /nowhere/libcuda.so.1: cannot open",
                       driver="/nowhere/libcuda.so.1")
        self.check_run(prefix + "the NVIDIA driver finds no GPU", "devices=0")
        self.check_run(prefix + "the NVIDIA driver is too old: it has CUDA 11.4, Sinter needs "
                       "CUDA 12.0 or newer", "version=11040")
        self.check_run(prefix + "--device 3: this machine has 1 GPU, number 0", "", "--device", 3)

    def test_code_for_another_gpu(self):
        self.make_cuda()
        self.check_run("/fake.sinter: compiled for sm_90a, which Fake GPU (sm_80) does not run: "
                       "compile again with --target=cuda:sm_80", "capability=80")
        self.check_run("/fake.sinter: the NVIDIA driver (CUDA 12.4) is too old for the kernels' "
                       "PTX", "foreign-cubin=1,old-ptx=1")

    def test_out_of_memory(self):
        self.make_cuda()
        self.check_run("out of GPU memory: weights of 3.36 KB, activations of 2.18 KB and a KV "
                       "cache of 512 B need 537 MB with a reserve, 300 MB are free: ask for a "
                       "shorter context or less --kv-memory", "memory=300000000")
        self.check_run("out of GPU memory: 2048 bytes asked for, 2048 MiB of 2048 MiB are free; "
                       "the model takes weights of 3.36 KB, activations of 2.18 KB and a KV cache "
                       "of 512 B", "fail-alloc=1")
        self.check_run("a KV cache of 1.00 GB", "memory=800000000", "--kv-memory", "1GB")

    def test_an_artefact_that_is_not_batch_invariant(self):
        self.make_cuda()
        self.check_run("--batch-invariant: ", "capability=90", "--batch-invariant")

    def test_a_smaller_cache_instead_of_none(self):
        model = self.make_cuda({"kv": {"page_bytes": 40_000_000}})
        flags = [model, "--token-ids", "1,2", "--ignore-eos", "--max-tokens"]
        memory = 536_870_912 + 2 * 40_000_000 + 20_000
        run = self.succeed("sinter-run", *flags, 6, env=self.gpu(f"memory={memory}"))
        self.assertNotIn("memory is short", run.stderr)
        self.check_error("the KV cache is full (2 pages of 4 tokens)", "sinter-run", *flags, 20,
                         "-q", env=self.gpu(f"memory={memory}"))
        # Gone after the sizes were computed: the cache is allocated once more, smaller.
        config = f"memory={memory + 40_000_000},take=40000000,fail-alloc=4"
        run = self.succeed("sinter-run", *flags, 6, env=self.gpu(config))
        self.assertNotIn("memory is short", run.stderr)  # it was there again
        run = self.succeed("sinter-run", model, "--token-ids", "1,2", "--ignore-eos", "--max-tokens", 2, "--max-context", 8,
                           env=self.gpu(f"memory={memory},take=40000000,fail-alloc=4"))
        self.assertIn("-- GPU memory is short: the KV cache holds 4 tokens instead of 8", run.stderr)

    def test_failures_while_running(self):
        self.make_cuda()
        self.check_run("kernel attend for layers.0.attn in step_argmax: cannot be started: too "
                       "many resources", "fail-launch=attend")
        fault = "step_argmax failed on the GPU (--debug sync names the kernel): an illegal memory"
        self.check_run(fault, "fault=attend")
        self.check_run(fault, "fault=attend", "--no-graph")
        self.check_run("kernel attend for layers.0.attn in step_argmax: failed on the GPU: an "
                       "illegal memory", "fault=attend", "--debug", "sync")


class BenchTest(CudaTest):
    def test_decode_and_prefill(self):
        model, out = self.make_cuda(), self.path("records.json")
        flags = ["--json", out, "--batch", "1,3", "--context", 8, "--tokens", 20]
        decode = self.succeed("sinter-bench", "decode", model, *flags, env=self.gpu()).stdout
        self.assertIn("fake: f32, Fake GPU, sm_90\n", decode)
        self.assertRegex(decode, r"\ndecode/fake/b3/c8( +\d+\.\d{4}){2} +0\.0400 +\S+ % ")
        self.succeed("sinter-bench", "prefill", model, "--length", 30, "--json", out, env=self.gpu())
        with open(out, encoding="utf-8") as file:
            records = {record["name"]: record for record in json.load(file)}
        self.assertEqual(
            sorted(records),
            sorted(
                f"decode/fake/b{batch}/c8{part}"
                for batch in (1, 3)
                for part in ("", "/graph", "/host-gap", "/p99")
            )
            + ["machine/read-bandwidth", "prefill/fake/t30", "prefill/fake/t30/p99"],
        )
        self.assertIsNotNone(records["decode/fake/b1/c8"]["floor"])
        self.assertIsNone(records["prefill/fake/t30"]["floor"])
        flags = ["--no-graph", "--context", 8, "--tokens", 5]
        self.succeed("sinter-bench", "decode", model, *flags, env=self.gpu())


    def test_attention_alone(self):
        model, out = self.make_cuda(), self.path("records.json")
        flags = ["--batch", "1,3", "--context", 8, "--length", 30, "--json", out]
        table = self.succeed("sinter-bench", "attention", model, *flags, env=self.gpu()).stdout
        self.assertRegex(table, r"\nattention-decode/fake/b3/c8 +10\.00 ")
        with open(out, encoding="utf-8") as file:
            records = {record["name"]: record for record in json.load(file)}
        names = [f"attention-decode/fake/b{batch}/c8{part}" for batch in (1, 3) for part in ("", "/bandwidth")]
        self.assertEqual(sorted(records), sorted([*names, "attention-prefill/fake/t30"]))
        self.assertEqual(records[names[0]]["unit"], "us")
        self.assertAlmostEqual(records[names[0]]["value"], 10, 3)
        self.check_error("is a graph", "sinter-bench", "attention", model, "--no-graph", env=self.gpu())
        self.check_error("measured on GPUs", "sinter-bench", "attention", self.make_fake(), "--context", 8,
                         "--length", 8)


class InspectTest(CudaTest):
    def test_shows_gpu_kernels(self):
        model = self.make_cuda()
        summary = self.succeed("sinter-inspect", model).stdout
        self.assertIn("target      cuda: sm_90a", summary)
        self.assertRegex(summary, r"gpu code    PTX \d+ B, machine code \d+ B")
        self.assertRegex(summary, r"decode_argmax +argmax +1 \.\. 4, 1 each +4 +4")
        kernels = self.succeed("sinter-inspect", model, "--kernels").stdout
        self.assertRegex(kernels, r"\nattend +attend +128 +40 +0\+64 +0 +1 +12 +75 % +6\n")
        self.assertIn("row_major", self.succeed("sinter-inspect", model, "--weights").stdout)


class CompileTest(CudaTest):
    """A model directory is compiled for the GPU that is there; the compiler is a stand-in."""

    def setUp(self):
        super().setUp()
        self.model = self.path("model")
        os.mkdir(self.model)
        with open(os.path.join(self.model, "config.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.succeed("make-fake-model", self.model)  # the checkpoint belongs to the cache's key
        self.bin = self.path("bin")
        os.mkdir(self.bin)
        for tool in ["sinter-run", "make-fake-model"]:
            os.link(os.path.join(tools.BIN, tool), os.path.join(self.bin, tool))
        compiler = os.path.join(self.bin, "sinter-compile")
        with open(compiler, "w", encoding="utf-8") as file:
            file.write(
                "#!/bin/sh\n"
                'test "$1" = --version && exec echo sinter-compile 0\n'
                f'echo "$@" >> {self.path("calls")}\n'
                'case "$*" in *cuda*) kind=--cuda;; esac\n'
                'for output; do :; done\n'  # the last argument
                f"{self.bin}/make-fake-model $kind {self.model} && "
                f'mv {self.model}/fake.sinter "$output"\n'
            )
        os.chmod(compiler, stat.S_IRWXU)

    def run_model(self, env, *flags):
        env["XDG_CACHE_HOME"] = self.path("cache")
        arguments = [self.model, "--token-ids", "1,2", "--max-tokens", 3, "--ignore-eos", *flags]
        result = self.succeed(os.path.join(self.bin, "sinter-run"), *arguments, env=env)
        with open(self.path("calls"), encoding="utf-8") as file:
            return result.stderr, file.read().splitlines()

    def test_takes_the_gpu_and_says_so(self):
        said, calls = self.run_model(self.gpu())
        self.assertIn("-- using the NVIDIA GPU (sm_90a); --target cpu for the processor", said)
        self.assertIn("-- running on Fake GPU, sm_90", said)
        self.assertIn("--target cuda:sm_90a", calls[-1])
        said, calls = self.run_model(self.gpu())
        self.assertEqual(len(calls), 1, "cached")
        said, calls = self.run_model(self.gpu(), "--target", "cpu")
        self.assertNotIn("GPU", said)
        self.assertEqual(len(calls), 2, "another target is another file in the cache")
        self.assertIn("--target cpu", calls[-1])
        said, calls = self.run_model(self.gpu(), "--target", "cuda")
        self.assertEqual(len(calls), 2, "the chip of the GPU that is there")

    def test_takes_the_processor_without_a_usable_gpu(self):
        for config in ["devices=0", "capability=75"]:
            said, calls = self.run_model(self.gpu(config))
            self.assertNotIn("GPU", said)
            self.assertNotIn("--target", calls[-1])

    def test_a_gpu_that_is_asked_for_must_be_there(self):
        program = os.path.join(self.bin, "sinter-run")
        for target in ["cuda", "cuda:sm_90a"]:
            self.check_error(f"--target {target}: the NVIDIA driver finds no GPU", program, self.model,
                             "--token-ids", "1,2", "--target", target, env=self.gpu("devices=0"))
        self.assertFalse(os.path.exists(self.path("calls")), "nothing is compiled")


if __name__ == "__main__":
    tools.main()
