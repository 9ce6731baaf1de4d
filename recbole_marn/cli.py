"""`recbole-marn SUB ...`: one sub-command per job. Exit codes: 0 done, 2 bad input, 1 a fault of ours."""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from recbole_marn.errors import InputError
from recbole_marn.settings import nearest
from recbole_marn.version import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, do the job, return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    if known.job is None:
        parser.print_help()
        return 2
    if rest and not known.takes_settings:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if known.takes_settings:
            known.settings = parse_settings(rest)
        return known.job(known)
    except InputError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recbole-marn", description="Multimodal click-through-rate prediction for RecBole."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(job=None, takes_settings=False)
    # Without abbreviations: --mode would be taken for --model.
    strict = functools.partial(argparse.ArgumentParser, allow_abbrev=False)
    jobs = parser.add_subparsers(title="jobs", metavar="JOB", parser_class=strict)

    job = jobs.add_parser("run", help="train, choose on validation, test once", epilog=SETTINGS_HELP)
    _add_run_arguments(job)
    job.set_defaults(job=_run, takes_settings=True)

    job = jobs.add_parser("models", help="list the models and where they were published")
    job.set_defaults(job=_models)

    job = jobs.add_parser("datasets", help="list the data sets and whether they are on this machine")
    job.add_argument("--data_path", default="dataset", help="folder of atomic files (default: %(default)s)")
    job.set_defaults(job=_datasets)

    job = jobs.add_parser("analyze", help="what the parts of a trained MARN carry, and what deleting c costs")
    job.add_argument("checkpoint", help="<run>.pth of a MARN; for curves also <run>.json")
    job.add_argument("--part", choices=["valid", "test"], default="valid", help="rows scored (default: %(default)s)")
    job.add_argument(
        "--report",
        choices=["adversary", "curves", "attention"],
        default="adversary",
        help="curves: what --probe_every kept, as a table and <run>.curves.svg; "
        "attention: which modality decides in which category (default: %(default)s)",
    )
    job.add_argument("--field", default="category", help="of --report attention, token field (default: %(default)s)")
    job.set_defaults(job=_analyze)

    job = jobs.add_parser("tune", help="search settings, selected on validation", epilog=SETTINGS_HELP)
    _add_run_arguments(job)
    job.add_argument("--params_file", help="RecBole's search space file (default: the one shipped for the model)")
    job.add_argument("--algo", choices=["exhaustive", "random", "bayes"], default="exhaustive")
    job.add_argument("--max_evals", type=int, default=20, help="trials for random and bayes (default: %(default)s)")
    job.add_argument("--output_file", default="tune.json", help="trials are written here (default: %(default)s)")
    job.add_argument(
        "--engine", choices=["recbole", "ray"], default="recbole", help="ray: many at once, ASHA, resumable"
    )
    job.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="ray: trials at once (default: one a core)"
    )
    job.add_argument("--address", help="ray: a running cluster, or auto (default: start Ray on this machine)")
    job.add_argument("--gpus", type=float, default=0.0, help="ray: share of a GPU a trial takes (default: %(default)s)")
    job.set_defaults(job=_tune, takes_settings=True)

    job = jobs.add_parser("export-rows", help="the rows as files for plain RecBole", epilog=SETTINGS_HELP)
    _add_run_arguments(job)
    job.add_argument("--out", default="dataset", help="RecBole's data_path to write to (default: %(default)s)")
    job.add_argument("--name", help="name of the exported data set (default: DATASET-rows)")
    job.set_defaults(job=_export_rows, takes_settings=True, model="LR")

    from recbole_marn.leaderboard import cli as leaderboard

    job = jobs.add_parser("leaderboard", help="a grid of models and seeds -> records -> tables", epilog=SETTINGS_HELP)
    leaderboard.add_arguments(job)
    job.set_defaults(job=leaderboard.main, takes_settings=True)

    job = jobs.add_parser("verify", help="recompute every cell of a leaderboard from its records and scores")
    leaderboard.add_verify_arguments(job)
    job.set_defaults(job=leaderboard.verify_main)

    job = jobs.add_parser("bench", help="speed and memory: every claim as a gate")
    _benchmarks().add_arguments(job)
    job.set_defaults(job=_bench)

    from recbole_marn.prepare import cli as prepare

    job = jobs.add_parser("prepare", help="raw public files -> atomic files and vectors, checked")
    prepare.add_arguments(job)
    job.set_defaults(job=prepare.main)
    return parser


SETTINGS_HELP = "Every setting of the model, the data and RecBole can be given as --key=value."


def _add_run_arguments(job: argparse.ArgumentParser) -> None:
    job.add_argument("-m", "--model", default="MARN", help="see `recbole-marn models` (default: %(default)s)")
    job.add_argument("-d", "--dataset", default="ml-100k", help="see `recbole-marn datasets` (default: %(default)s)")
    job.add_argument("--config_files", default="", help="YAML files, separated by spaces")


def parse_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """`--key=value` arguments as a dictionary; values are Python or YAML literals, never code."""
    settings: dict[str, Any] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator or not name.startswith("--") or not name[2:]:
            raise InputError("settings as --key=value", repr(argument), "Write it with two dashes and an equals sign.")
        settings[name[2:]] = parse_value(text)
    return settings


def parse_value(text: str) -> Any:
    """A Python literal, else a YAML value, else text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _config_files(args: argparse.Namespace) -> list[str]:
    files = args.config_files.split()
    for file in files:
        if not Path(file).is_file():
            beside = [path.name for path in Path(file).parent.glob("*.y*ml")] if Path(file).parent.is_dir() else []
            raise InputError("configuration files that exist", file, f"Correct the path.{nearest(file, beside)}")
    return files


def _run(args: argparse.Namespace) -> int:
    from recbole_marn.quick_start import run

    result = run(args.model, args.dataset, _config_files(args), args.settings)
    kept = ("model", "dataset", "seed", "split_sha256", "valid", "test")
    kept += tuple(name for name in result if name.startswith("test_") and name != "test_result")
    kept += ("parameters", "epochs", "seconds_per_epoch", "record", "checkpoint")
    print(metric_table(result))
    print(json.dumps({name: result[name] for name in kept}))
    return 0


def metric_table(result: dict[str, Any]) -> str:
    """Metrics by part, one line a part."""
    parts = [name for name in result if name == "valid" or (name.startswith("test") and name != "test_result")]
    metrics = list(result[parts[0]])
    lines = [f"{result['model']} on {result['dataset']}, seed {result['seed']}"]
    lines.append("  ".join([f"{'part':<16}", *(f"{name:>8}" for name in metrics)]))
    for part in parts:
        lines.append("  ".join([f"{part:<16}", *(f"{result[part][name]:>8.4f}" for name in metrics)]))
    return "\n".join(lines)


def _models(args: argparse.Namespace) -> int:
    from recbole_marn.registration import MODELS

    for row in MODELS.values():
        print(f"{row.name:<24}{'recbole_marn' if row.ours else 'RecBole':<14}{row.paper}")
    return 0


def _datasets(args: argparse.Namespace) -> int:
    from recbole_marn.registration import committed_data_folder, known_datasets

    for name in known_datasets():
        folders = [Path(args.data_path) / name, committed_data_folder() / name]
        found = next((str(folder) for folder in folders if (folder / f"{name}.inter").is_file()), None)
        here = "comes with RecBole" if name == "ml-100k" else found or f"recbole-marn prepare {name} --raw DIR"
        print(f"{name:<28}{here}")
    return 0


def _analyze(args: argparse.Namespace) -> int:
    return {"adversary": _adversary, "curves": _curves, "attention": _attention}[args.report](args)


def _curves(args: argparse.Namespace) -> int:
    from recbole_marn.analysis.curves import curves_picture, curves_table, read_probes

    probes, picture = read_probes(args.checkpoint), Path(args.checkpoint).with_suffix(".curves.svg")
    picture.write_text(curves_picture(probes), encoding="utf-8")
    print(curves_table(probes))
    print(json.dumps({"picture": str(picture), "probes": probes}))
    return 0


def _adversary(args: argparse.Namespace) -> int:
    from recbole_marn.analysis.adversary import adversary_report, check_adversary
    from recbole_marn.quick_start import load_run

    parts = load_run(args.checkpoint)
    check_adversary(parts.model)
    rows = next(iter(parts.train)).to(parts.config["device"])
    report = adversary_report(parts.model, parts.trainer, getattr(parts, args.part), rows.batch)
    for name, value in report.items():
        numbers = value.items() if isinstance(value, dict) else [("", value)]
        print(f"{name:<16}" + "  ".join(f"{label} {number:.4f}".strip() for label, number in numbers))
    print(json.dumps(report))
    return 0


def _attention(args: argparse.Namespace) -> int:
    from recbole_marn.analysis.attention import attention_report, describe
    from recbole_marn.quick_start import load_run

    parts = load_run(args.checkpoint)
    report = attention_report(parts.model, parts.trainer, getattr(parts, args.part), args.field)
    print(describe(report))
    print(json.dumps(report))
    return 0


def _export_rows(args: argparse.Namespace) -> int:
    from recbole_marn.data.export import export_benchmark
    from recbole_marn.quick_start import build_config, prepare_run

    config = build_config(args.model, args.dataset, _config_files(args), args.settings)
    run = prepare_run(config, quiet=True)
    parts = [loader.part for loader in (run.train, run.valid, run.test)]
    print(json.dumps(export_benchmark(parts, args.out, name=args.name or f"{args.dataset}-rows")))
    return 0


def _tune(args: argparse.Namespace) -> int:
    from recbole_marn.tuning import tune

    best = tune(
        model=args.model,
        dataset=args.dataset,
        config_file_list=_config_files(args),
        config_dict=args.settings,
        params_file=args.params_file,
        algo=args.algo,
        max_evals=args.max_evals,
        output_file=args.output_file,
        engine=args.engine,
        cluster={"workers": args.workers, "address": args.address, "gpus": args.gpus},
    )
    print(json.dumps(best))
    return 0


def _bench(args: argparse.Namespace) -> int:
    return importlib.import_module(f"{_benchmarks().__name__}.suite").main(args)


def _benchmarks() -> ModuleType:
    """The speed suite: a part of this package once installed, a folder beside it in a checkout."""
    name = "recbole_marn.benchmarks"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        folder = Path(__file__).resolve().parent.parent / "benchmarks"
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
