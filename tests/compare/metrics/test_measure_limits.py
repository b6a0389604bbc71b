"""What is measured at the limits: nothing, one prompt, no spread, no number, deep or huge JSON."""

import math

import pytest

from tuiwb.compare.metrics import task as task_metrics
from tuiwb.compare.metrics.json_fields import MOST
from tuiwb.compare.metrics.measure import measure
from tuiwb.compare.metrics.scored import Answered, Asked
from tuiwb.compare.stats.paired import bootstrap, mean_interval


def pair(reference, base, adapter, **more):
    return Asked(base=Answered(base), adapter=Answered(adapter), reference=reference, **more)


@pytest.mark.parametrize("nll", [math.nan, math.inf])
def test_a_likelihood_that_is_no_number_makes_no_side_better(nll):
    rows = [
        Asked(
            base=Answered("a", tokens=4, reference_nll=9.0 + i / 10),
            adapter=Answered("a", tokens=4, reference_nll=nll if i == 3 else 10.0 + i / 7),
            reference="a",
            reference_tokens=5,
        )
        for i in range(20)
    ]
    (line,) = (q for q in measure(rows).quantities if q.name == "perplexity")
    assert (line.n, line.better, line.worse, line.verdict) == (19, 0, 19, "worse")
    assert math.isfinite(line.difference)
    broken = task_metrics.MetricSummary(
        name="m", label="m", n=9, graded=True, base=1, base_right=0, difference=math.nan, p=0.001
    )
    assert broken.verdict == ""


def test_references_without_tokens_have_no_perplexity():
    row = Asked(
        base=Answered("a", tokens=1, reference_nll=1.0),
        adapter=Answered("a", tokens=1, reference_nll=1.0),
        reference="a",
        reference_tokens=-5,
    )
    assert "perplexity" not in {line.name for line in measure([row]).quantities}


def test_answers_nested_as_deep_as_the_parser_lets_them_are_compared():
    depth = 900
    deep = '{"a": ' + "[" * depth + "1" + "]" * depth + "}"
    other = deep.replace("1", "2")
    assert task_metrics.score(deep, deep)["all_fields"] == 1.0
    assert task_metrics.score(other, deep)["all_fields"] == 0.0
    assert task_metrics.field_results(other, deep) == {"a": False}


def test_keys_of_data_do_not_become_a_table_of_thousands_of_fields():
    keyed = "{" + ", ".join(f'"k{i}": {i}' for i in range(3000)) + ', "common": 1}'
    rows = [pair(keyed, keyed, "{}"), pair('{"common": 1}', "{}", '{"common": 1}')]
    fields = measure(rows).fields
    assert len(fields) == MOST
    (common,) = (line for line in fields if line.name == "common")
    assert (common.n, common.base_right, common.adapter_right) == (2, 1, 1)
    assert (common.base_missing, common.adapter_missing) == (1, 1)


def test_no_spread_is_no_certainty():
    assert mean_interval([0.0] * 5) is None
    assert mean_interval([0.25] * 500) is None
    assert mean_interval([0.0] * 9 + [0.5]) is not None
    assert bootstrap([[2.0, 1.0]] * 8, lambda sums: sums[:, 0] / sums[:, 1]) is None
    lines = measure([pair("one two", "one", "one")] * 6).metrics
    assert {line.verdict for line in lines} == {""}
    for line in lines:
        assert line.difference == 0.0
        interval = line.difference_interval
        assert interval is None if line.graded else interval.low < -0.3


def test_one_prompt_is_measured_and_shows_nothing():
    figures = measure([pair('{"a": 1}', "no", '{"a": 1}')])
    assert {line.p for line in figures.metrics} == {1.0}
    assert {line.verdict for line in figures.metrics} == {""}
    assert measure([]).metrics == []
