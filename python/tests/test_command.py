"""The command of the wheel: what each command says, and the three ways it can end."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from isogain import _core
from isogain.__main__ import main
from recorded import finding, write_run


@dataclass
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


@pytest.fixture
def isogain(capfdbinary: pytest.CaptureFixture[bytes]):
    """Runs a command in this process."""

    def run(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(status, out.decode(), err.decode())

    return run


def mlp(depth: int = 30, width: int = 64) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [module for _ in range(depth) for module in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, 10))


def he(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return model


def assert_one_error(ran: Ran, *said: str) -> None:
    assert (ran.status, ran.out) == (2, ""), ran
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1, ran.err
    for words in said:
        assert words in ran.err


# -- help and errors --------------------------------------------------------------------------------------------------


def test_help_teaches(isogain):
    ran = isogain("--help")
    assert ran.status == 0
    told = ("isogain check model.safetensors", "The program in Rust is called isogain", "Exit status", "isogain.check(")
    for said in told:
        assert said in ran.out
    for command in ("check", "view", "compare", "export", "explain"):
        assert command in ran.out
        one = isogain(command, "--help")
        assert one.status == 0 and f"usage: isogain {command}" in one.out
        # It reads well in a terminal of the usual width and a half.
        assert max(map(len, one.out.splitlines())) <= 110


def test_what_is_misspelt_or_belongs_to_the_program_in_rust(isogain):
    assert isogain().status == 2
    unknown = isogain("chekc")
    assert unknown.status == 2 and "invalid choice: 'chekc'" in unknown.err
    for command in ("cure", "train"):
        ran = isogain(command, "net.toml")
        assert_one_error(ran, "the isogain program in Rust", "isogain.check(model, batch, loss_fn)")
    assert_one_error(isogain("check", "net.toml"), "net.toml is a recipe, which the isogain program in Rust checks")


def test_version(isogain):
    assert isogain("--version").out == f"isogain {_core.__version__} (wheel)\n"


def test_as_a_program(tmp_path: Path):
    """The module runs as a program; an error is one line and no traceback; a closed pipe is no error."""
    call = [sys.executable, "-m", "isogain"]
    failed = subprocess.run([*call, "view", str(tmp_path / "none")], capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("error: cannot open ") and "Traceback" not in failed.stderr
    run = write_run(tmp_path / "run", steps=120)
    closed = subprocess.run(
        f"{sys.executable} -m isogain export {run} --to csv | head -n 1", shell=True, capture_output=True, text=True
    )
    assert (closed.stdout, closed.stderr) == ("step,name,kind,statistic,value\n", "")


def test_no_framework_is_loaded_for_records(tmp_path: Path):
    run = write_run(tmp_path / "run", steps=3)
    view = f"from isogain.__main__ import main; main(['view', {str(run)!r}])"
    code = f"import sys; {view}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


# -- explain ----------------------------------------------------------------------------------------------------------


def test_explain(isogain):
    listed = isogain("explain")
    assert listed.status == 0 and "  G012  vanishing-gradient " in listed.out and "  rescale-init " in listed.out
    for name in ("vanishing-gradient", "G012", "rescale-init"):
        page = isogain("explain", name)
        assert page.status == 0 and page.out.startswith("# ") and len(page.out.splitlines()) > 10
    assert isogain("explain", "g012", "--format", "json").json["name"] == "vanishing-gradient"
    assert {"rule", "remedy"} == {topic["kind"] for topic in isogain("explain", "--format", "json").json}
    assert_one_error(isogain("explain", "vanishing-gradeint"), "did you mean 'vanishing-gradient'?")


# -- check ------------------------------------------------------------------------------------------------------------


def test_weights_of_a_deep_default_network(isogain, tmp_path: Path):
    path = tmp_path / "mlp.pt"
    torch.save(mlp().state_dict(), path)
    ran = isogain("check", path)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("warning[vanishing-gradient]: if these 29 layers follow one another")
    assert "pytorch-default" in ran.out and "in the order of the model" in ran.out
    report = isogain("check", path, "--format", "json").json
    assert [layer["name"] for layer in report["layers"]] == [f"{index}.weight" for index in range(0, 61, 2)]
    # The whole theory of it: a factor 1/sqrt(3) per layer by the matrices, 1/sqrt(6) with ReLU.
    per_layer = report["chain"]["log_gain"] / report["chain"]["count"]
    assert per_layer == pytest.approx(-0.5493, abs=0.01)
    for layer in report["layers"]:
        assert layer["scale"]["initializers"] == ["pytorch-default"]
        weight = mlp().state_dict()[layer["name"]].double()
        exact = torch.linalg.svdvals(weight)
        assert layer["spectrum"]["largest"] == pytest.approx(float(exact[0]), rel=1e-9)
        assert layer["spectrum"]["smallest"] == pytest.approx(float(exact[-1]), rel=1e-4)


def test_healthy_weights(isogain, tmp_path: Path):
    path = tmp_path / "he.pth"
    torch.save(he(mlp(12)).state_dict(), path)
    ran = isogain("check", path)
    assert ran.status == 0 and "\nok: weights alone were seen: no data" in ran.out
    assert "he-normal" in ran.out


def test_safetensors_say_the_same(isogain, tmp_path: Path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = mlp(12).state_dict()
    torch.save(state, tmp_path / "a.pt")
    save_file(state, tmp_path / "a.safetensors")
    def checked(*names: str):
        return isogain("check", *(tmp_path / name for name in names), "--format", "json").json

    of_torch, of_file = checked("a.pt"), checked("a.safetensors")
    assert of_torch["in_model_order"] and not of_file["in_model_order"]
    assert of_torch["layers"] == of_file["layers"]  # sorted by name is the order of the model here
    assert of_torch["findings"] == of_file["findings"]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        half = {name: tensor.to(dtype) for name, tensor in state.items()}
        save_file(half, tmp_path / "h.safetensors")
        torch.save(half, tmp_path / "h.pt")
        of_torch, of_file = checked("h.pt"), checked("h.safetensors")
        assert of_torch["layers"] == of_file["layers"], dtype
        names = {name for layer in of_file["layers"] for name in layer["scale"]["initializers"]}
        assert names == {"pytorch-default"}, dtype
    # Two halves of one model.
    save_file({name: state[name] for name in list(state)[:10]}, tmp_path / "s1.safetensors")
    save_file({name: state[name] for name in list(state)[10:]}, tmp_path / "s2.safetensors")
    assert checked("s1.safetensors", "s2.safetensors")["layers"] == checked("a.safetensors")["layers"]


@pytest.mark.parametrize(
    "broken, rule", [("constant", "symmetric-weights"), ("nan", "non-finite"), ("rows", "dead-units")]
)
def test_what_is_wrong_with_weights(isogain, tmp_path: Path, broken: str, rule: str):
    model = he(mlp(6))
    with torch.no_grad():
        weight = model[4].weight
        match broken:
            case "constant":
                weight.fill_(0.1)
                model[4].bias.zero_()
            case "nan":
                weight[3, 5] = float("nan")
            case "rows":
                weight[:40] = 0.0
    torch.save(model.state_dict(), tmp_path / "m.pt")
    ran = isogain("check", tmp_path / "m.pt", "--format", "json")
    assert ran.status == 1
    found = ran.json["findings"]
    assert found[0]["rule"] == rule and found[0]["layers"][0] == "4.weight", found


def test_models_as_they_are_found_on_disk(isogain, tmp_path: Path):
    """A checkpoint among other things, with a wrapper's prefix; norms, tables and counters; tied and odd tensors."""
    torch.manual_seed(0)
    model = nn.ModuleDict({
        "embed": nn.Embedding(50, 16), "norm": nn.LayerNorm(16), "conv": nn.Conv2d(3, 8, 3), "bn": nn.BatchNorm2d(8),
        "head": nn.Linear(16, 50),
    })  # fmt: skip
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    state["module.meta"] = torch.empty(3, 3, device="meta")
    path = tmp_path / "checkpoint.ckpt"
    torch.save({"epoch": 3, "lr": 0.1, "state_dict": state}, path)
    report = isogain("check", path, "--format", "json").json
    assert [layer["name"] for layer in report["layers"]] == ["conv.weight", "head.weight"]
    assert [norm["name"] for norm in report["norms"]] == ["norm.weight", "bn.weight"]
    for other in ("embed.weight", "bn.running_mean", "bn.num_batches_tracked (int64)", "meta (float32)"):
        assert other in report["others"]
    assert report["layers"][0]["fan_in"] == 27 and report["layers"][0]["fan_out"] == 72


def test_no_spectrum(isogain, tmp_path: Path):
    torch.save(mlp(4).state_dict(), tmp_path / "m.pt")
    report = isogain("check", tmp_path / "m.pt", "--format", "json", "--no-spectrum").json
    assert {layer["spectrum"] for layer in report["layers"]} == {None}


def test_files_that_hold_no_weights(isogain, tmp_path: Path):
    path = tmp_path / "x.pt"
    assert_one_error(isogain("check", path), "cannot open", "No such file")
    assert_one_error(isogain("check", tmp_path), "cannot open", "Is a directory")
    path.write_bytes(b"")
    assert_one_error(isogain("check", path), "0 bytes are too few for a header")
    path.write_bytes(b"PK\x03\x04 not really")
    assert_one_error(isogain("check", path), "not a whole file of torch.save")
    torch.save(mlp(2), path)
    assert_one_error(isogain("check", path), "isogain runs no code from a file", "torch.save(model.state_dict(), path)")
    torch.save({"epoch": 3}, path)
    assert_one_error(isogain("check", path), "holds no weights by name, but a mapping with the keys 'epoch'")
    torch.save(torch.ones(3), path)
    assert_one_error(isogain("check", path), "but a Tensor")
    (tmp_path / "x.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    assert_one_error(isogain("check", tmp_path / "x.safetensors"), "it announces a header of 1152921504606846976 bytes")


def test_code_in_a_file_is_not_run(isogain, tmp_path: Path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    assert_one_error(isogain("check", tmp_path / "evil.pt"), "isogain runs no code from a file")
    assert not ran.exists()


# -- view, compare, export --------------------------------------------------------------------------------------------


def test_view_as_text_and_json(isogain, tmp_path: Path):
    healthy = isogain("view", write_run(tmp_path / "a", steps=20))
    assert healthy.status == 0
    assert "20 steps, loss 2.300 → 1.573, test accuracy 0.80" in healthy.out and healthy.out.endswith("ok\n")
    ill = write_run(tmp_path / "b", findings=[finding()], ended=False)
    ran = isogain("view", ill)
    assert ran.status == 1 and ran.out.startswith("error[vanishing-gradient]: the gradient shrinks by 10^11.6")
    assert "at step 39, running or stopped" in ran.out and ran.out.endswith("1 error\n")
    document = isogain("view", ill / "run.jsonl", "--format", "json").json
    assert (document["schema"], len(document["steps"]), document["outcome"]) == ("isogain-run/1", 40, None)


def test_view_as_a_page(isogain, tmp_path: Path):
    evil = "<script>alert(1)</script>"
    names, findings = [evil, "fc2", "fc3", "head"], [finding(f"{evil} shrinks")]
    run = write_run(tmp_path / "r", names=names, broken=True, findings=findings)
    page = tmp_path / "run.html"
    ran = isogain("view", run, "--html", page)
    assert (ran.status, ran.out, ran.err) == (1, "", f"wrote {page}\n")
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == 2 and "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    for said in ("Loss while training", "Gradient by layer", "Signal by layer", "Update over weight", "NaN or inf"):
        assert said in text
    assert len(text) < 400_000
    assert_one_error(isogain("view", run, "--html", tmp_path / "no" / "such.html"), "cannot open", "No such file")


def test_a_damaged_record_is_named_by_line(isogain, tmp_path: Path):
    run = write_run(tmp_path / "r", steps=5)
    file = run / "run.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], "{not json", *lines[2:]]) + "\n")
    assert_one_error(isogain("view", run), f"{file}:3: not JSON")
    (tmp_path / "empty").mkdir()
    assert_one_error(isogain("view", tmp_path / "empty"), "run.jsonl")


def test_compare(isogain, tmp_path: Path):
    a = write_run(tmp_path / "a", steps=40)
    b = write_run(tmp_path / "b", steps=40, learning_rate=0.5, decay=0.04, findings=[finding()])
    ran = isogain("compare", a, b)
    assert (ran.status, ran.err) == (0, "")
    assert f"   A   {a}\n   B   {b}\n" in ran.out
    assert "   optimizer.learning_rate   0.05   0.5\n" in ran.out
    # exp(-0.02 n) < 0.9 from n = 6 on.
    assert "   B leaves A at step 1 (2.254 and 2.210), by more than a tenth at step 6 (2.040 and 1.809)\n" in ran.out
    assert "error[vanishing-gradient]" in ran.out
    same = isogain("compare", a, write_run(tmp_path / "c", steps=40))
    assert "nothing: recipe, network, data, seed and version are the same" in same.out
    assert "B has the losses of A at all 40 common steps" in same.out
    found = isogain("compare", a, b, a, "--format", "json").json
    assert [end["name"] for end in found["runs"]] == [str(a), str(b), str(a)]
    assert found["differences"] == [{"name": "optimizer.learning_rate", "values": ["0.05", "0.5", "0.05"]}]
    assert_one_error(isogain("compare", a), "needs two runs at least")
    assert_one_error(isogain("compare", a, tmp_path / "none"), "cannot open", "none")


def test_export(isogain, tmp_path: Path):
    run = write_run(tmp_path / "r", depth=3, steps=4)
    ran = isogain("export", run, "--to", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    losses = [float(row["value"]) for row in rows if row["statistic"] == "loss"]
    assert ran.status == 0 and len(losses) == 4 and losses[0] == pytest.approx(2.3)
    assert {row["name"] for row in rows if row["kind"] == "cotangent"} == {"fc1", "fc2", "fc3", "head"}
    out = tmp_path / "run.json"
    written = isogain("export", run, "--to", "json", "--out", out)
    assert (written.status, written.out) == (0, "")
    assert json.loads(out.read_text())["header"]["data"]["source"] == "digits"
    assert isogain("export", run).status == 2  # argparse says that --to is missing
    assert isogain("export", run, "--to", "xlsx").status == 2


def test_export_for_other_programs(isogain, tmp_path: Path):
    run = write_run(tmp_path / "r", depth=3, steps=4)
    table = tmp_path / "run.parquet"
    assert isogain("export", run, "--to", "parquet", "--out", table).status == 0
    duckdb = pytest.importorskip("duckdb")
    query = f"select step, value from '{table}' where statistic = 'loss' order by step"
    assert [row[0] for row in duckdb.sql(query).fetchall()] == [0, 1, 2, 3]
    assert isogain("export", run, "--to", "tensorboard").status == 0
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [0, 1, 2, 3]
    # What was exported for TensorBoard is read back like a run of another program.
    seen = " ".join(isogain("view", run / "tensorboard").out.split())
    assert "at step 3, running or stopped, loss " in seen and "another program wrote" in seen
