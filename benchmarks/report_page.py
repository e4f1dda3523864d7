"""How long a page takes to make, how large it is, and when a browser first paints it.

    uv run python -m benchmarks.report_page [analysis ...]

From the invented findings of the tests, multiplied: 12 task types x 2 methods x 3 axes, and 50 task types x
200 methods; and from analysis folders, or folders of `tolerance report`, which have the conclusions, too.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.report_example import at_equal, by_axis, conclusions, normal
from tolerance.analysis.saved import read_report
from tolerance.findings import Report
from tolerance.reports import page
from tolerance.reports.pictures import screenshot

AXES = ("compute", "KV bytes", "sparsity fraction")
REPEATS = 5


def many(types: int, methods: int, *, axes: tuple[str, ...] = AXES) -> Report:
    """A report of so many task types under so many methods, as measured curves and thresholds of the example."""
    example = normal()
    pairs = [(f"type-{t}", f"method-{m}", (t * methods + m) % 6) for t in range(types) for m in range(methods)]

    def named(found, task_type, method):
        kind = found.id.partition("-")[0]
        new = {"id": f"{kind}-{task_type}-{method}", "task_type": task_type, "sparsifier": method}
        return found.model_copy(update=new)

    whole = conclusions()
    one = whole.conclusions[0]
    compared = [
        one.model_copy(
            update={
                "id": f"conclusion-type-{t}",
                "task_type": f"type-{t}",
                "axes": [at_equal(axis, ("better", "undecided", "worse")[(t + i) % 3]) for i, axis in enumerate(axes)],
            }
        )
        for t in range(types)
    ]
    return example.model_copy(
        update={
            "curves": [named(example.curves[i], t, m) for t, m, i in pairs],
            "thresholds": [named(example.thresholds[i], t, m) for t, m, i in pairs],
            "sensitivities": [],
            "instant": None,
            "disagreements": [],
            "comparisons": [],
            "conclusions": [whole.model_copy(update={"conclusions": compared})],
        }
    )


def first_paint(path: Path) -> float | None:
    """Milliseconds to the first contentful paint, the median of several loads; None without a browser."""
    browser = next(filter(None, map(shutil.which, screenshot.BROWSERS)), None)
    if browser is None:
        return None
    from playwright.sync_api import sync_playwright

    script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    found = []
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(REPEATS):
            shown = opened.new_page(viewport={"width": 1280, "height": 900})
            shown.goto(path.as_uri(), wait_until="load")
            # the page's policy forbids what Playwright's own waiting does
            while (at := shown.evaluate(script)) is None:
                shown.wait_for_timeout(5)
            found.append(at)
            shown.close()
        opened.close()
    return statistics.median(found)


def main() -> None:
    print("| findings | build, wall s | build, CPU s | page, KB | first paint, ms |")
    print("| --- | --- | --- | --- | --- |")
    cases = {
        "the tests' example, 3 types x 2 methods x 8 axes": by_axis(),
        "12 types x 2 methods x 3 axes": many(12, 2),
        "50 types x 200 methods (10,000 curves and thresholds)": many(50, 200),
        **{folder: read_report(Path(folder)) for folder in sys.argv[1:]},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, report in cases.items():
            wall, cpu = time.perf_counter(), time.process_time()
            path = page.write(report, Path(folder) / "page")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            paint = first_paint(path)
            shown = "no browser" if paint is None else f"{paint:.0f}"
            print(f"| {name} | {wall:.2f} | {cpu:.2f} | {path.stat().st_size / 1000:,.0f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
