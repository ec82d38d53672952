"""The benchmark of reports: a page of every suite, whatever their size."""

from nsbench.bench.report import SUITES, bench_report


def test_a_report_of_random_predictions_is_timed() -> None:
    result = bench_report(models=2, images=40)
    assert result["suites"] == list(SUITES)
    assert 0 < result["seconds"] < 600
    assert 0.05 < result["memory_gb"] < 16
    assert result["page_mb"] > 0.1
