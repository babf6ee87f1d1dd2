"""Packs, tables and what they change, with a driver that runs on the host (test/runtime/fake/cuda)."""

import json
import os
import tools
from tools import ToolTest

TABLE = {"format": "sinter-tuned", "version": 1, "chip": "sm_90a", "linears": [], "fusions": []}
SHAKESPEARE = os.path.join(os.path.dirname(__file__), "../../models/shakespeare")
COMPILE = ["sinter-compile", SHAKESPEARE, "--target=cuda", "--max-tokens-per-step", 1]


class TuneTest(ToolTest):
    def write(self, table, name="table.json"):
        with open(self.path(name), "w") as file:
            file.write(table if isinstance(table, str) else json.dumps(table))
        return self.path(name)

    def explain(self, table):
        made = self.succeed(*COMPILE, "--tuned", self.write(table), "--explain-fusion",
                            "--emit=lowered", "-o", os.devnull)
        return made.stdout

    def test_a_table_changes_the_choice(self):
        shape = "1024x256 m1 bf16 norm"
        before = self.explain(TABLE)
        self.assertIn("rms_norm_linear 1024x256: gemv R8 2x2 U1, predicted", before)
        row = {"shape": shape, "op": "qkv", "kernel": "gemv rows=4 warps_n=1 warps_k=4", "us": 1.5}
        after = self.explain({**TABLE, "linears": [row]})
        self.assertIn("rms_norm_linear 1024x256: gemv R4 1x4 U1, predicted", after)
        self.assertIn("us (measured 1.50)", after)
        # Another shape's row changes nothing.
        row["shape"] = "1024x256 m2 bf16 norm"
        self.assertEqual(self.explain({**TABLE, "linears": [row]}), before)

    def test_a_fusion_that_loses_is_refused_with_the_numbers(self):
        row = {"pass": "fuse-linear-add", "name": "o", "shape": "256x512", "tokens": 1,
               "us": 3.0, "apart_us": 2.5}
        text = self.explain({**TABLE, "fusions": [row]})
        self.assertIn("missed  fuse-linear-add           6 of 12       "
                      "measured slower at 1 token: 3.00 us against 2.50 us", text)
        row["us"] = 2.0
        text = self.explain({**TABLE, "fusions": [row]})
        self.assertIn("fused   fuse-linear-add           12 of 12", text)
        self.assertIn("fused 2.00 us, apart 2.50 us at 1 tokens", text)

    def test_refuses_tables_it_does_not_understand(self):
        linear = {"shape": "1x1", "kernel": "gemv", "us": 1}
        for table, message in [
            ("{", "table.json: not JSON: "),
            (json.dumps({**TABLE, "linears": [linear]})[:-9], "table.json: not JSON: "),
            ("[]", "table.json: expected a JSON object"),
            ({}, 'table.json: table: "format": expected a string'),
            ({**TABLE, "version": 2}, "table.json: not a tuned table of version 1"),
            ({**TABLE, "chip": "sm_80"}, "table.json: measured for sm_80, compiled for sm_90a"),
            ({**TABLE, "more": 1}, 'table.json: table: unknown key "more"'),
            ({**TABLE, "linears": 1}, 'table.json: "linears": expected an array'),
            ({**TABLE, "linears": [{**linear, "x": 1}]}, 'linears[0]: unknown key "x"'),
            ({**TABLE, "linears": [{**linear, "us": 0}]}, '"us": expected a time above 0'),
            ({**TABLE, "linears": [{**linear, "kernel": "fast"}]}, "no template is called 'fast'"),
            ({**TABLE, "linears": [{**linear, "kernel": "gemv x=1"}]}, "no parameter is called 'x'"),
            ({**TABLE, "linears": [{**linear, "kernel": "gemv rows=-1"}]}, "not a positive number"),
            ({**TABLE, "linears": [linear, linear]}, "linears[1]: a second row of 1x1"),
            ({**TABLE, "fusions": [{"pass": "p", "shape": "s", "us": 1, "apart_us": 1}]},
             '"tokens": expected a positive integer'),
        ]:
            self.check_error(message, *COMPILE, "--tuned", self.write(table))
        self.check_error("none.json: cannot open", *COMPILE, "--tuned", self.path("none.json"))
        self.check_error("--tuned: only the cuda target", "sinter-compile", SHAKESPEARE, "--tuned",
                         self.write(TABLE))
        self.check_error("--tune-pack: only the cuda target", "sinter-compile", SHAKESPEARE,
                         "--tune-pack", self.path("a.pack"))

    def test_measures_a_pack_and_the_compiler_takes_the_table(self):
        pack = self.path("a.pack")
        self.succeed(*COMPILE, "--tune-pack", pack, timeout=600)  # seventy kernels
        gpu = {**os.environ, "SINTER_CUDA_DRIVER": os.path.join(tools.BIN, "fake-cuda/libcuda.so.1"),
               "SINTER_FAKE_CUDA": "any-kernel=1"}
        tune = ["sinter-bench", "tune", pack, "--pool", 16, "--rounds", 2]
        table, records = self.path("t.json"), self.path("r.json")
        self.succeed(*tune, "-o", table, "--json", records, env=gpu)
        # Every launch takes this GPU 10 us: both sides have the launches they should have.
        with open(records) as file:
            rows = {row["name"]: (row["value"], row["peer_value"]) for row in json.load(file)}
        for name, times in [("merge_qkv", (10, 30)), ("norm_qkv", (10, 20)),
                            ("norm_gate_up_swiglu", (10, 30)), ("o_proj_residual", (10, 20)),
                            ("down_residual", (10, 20)), ("norm_lm_head", (20, 30)),
                            ("qk_norm_rope_write_attention", (10, 60))]:
            self.assertEqual(tuple(round(t, 3) for t in rows[f"fused/{name}/shakespeare/m1"]), times, name)
        self.assertEqual(round(rows["linears/shakespeare/m1"][0], 3), 40)
        with open(table) as file:
            made = json.load(file)
        shapes = [row["shape"] for row in made["linears"]]
        self.assertIn("1024x256 m1 bf16 norm", shapes)
        self.assertEqual(made["chip"], "sm_90a")
        self.succeed(*COMPILE, "--tuned", table, "--emit=lowered", "-o", os.devnull)
        self.check_error("not a tuned table for sm_90a", *tune, "-o", self.write({**made, "chip": "x"}),
                         env=gpu)
        self.check_error("says nothing about where results go", *tune, env=gpu)
        with open(pack, "rb") as file:
            data = file.read()
        for broken, message in [(data[:-1], "damaged or cut short"), (b"ELF", "not a tune pack")]:
            with open(pack, "wb") as file:
                file.write(broken)
            self.check_error(message, *tune, "--json", records, env=gpu)


if __name__ == "__main__":
    tools.main()
