"""The dialog of a comparison's figures: what it shows of each metric, field and slice."""

from tuiwb.app.widgets.compare_figures import ROOM, figures
from tuiwb.compare.completions import Completion, summarise
from tuiwb.compare.stats.counts import PairedCounts
from tuiwb.compare.vote.ballot import VoteTally

NASTY = "\x1b[31m[bold]red[/bold]"


def completion(i: int, adapter: str) -> Completion:
    return Completion(
        id=str(i),
        index=i,
        line=i + 1,
        prompt=[{"role": "user", "content": "hi"}],
        reference=f'{{"order": "A{i}", "{NASTY[1:]}": 1}}',
        base="no",
        adapter=adapter,
        tags={NASTY: NASTY + "ab"[i % 2]},
        base_tokens=1,
        adapter_tokens=4,
    )


def test_metrics_quantities_fields_and_slices_stand_in_tables_that_fit_eighty_columns():
    rows = [completion(i, f'{{"order": "A{i}"}}') for i in range(30)]
    shown = figures(summarise(rows, 30), None, [], None)
    lines = shown.plain.split("\n")
    by_start = {line.split("  ")[0]: line for line in lines}
    assert by_start["JSON valid"].split() == [
        *("JSON", "valid", "0/30", "30/30", "+100.0", "[+77.3,", "+100.0]", "▲", "<.001")
    ]
    # A difference that never varies has no interval.
    assert by_start["length (tokens)"].split()[2:6] == ["1.00", "4.00", "+3.00", "<.001"]
    assert by_start["order"].split()[1:3] == ["0/30", "30/30"]
    # No answer has all fields right: slices tell by the share of them.
    assert sum(line.startswith("fields right by ") for line in lines) == 1
    assert "\x1b" not in shown.plain
    assert max(map(len, lines[:-1])) <= ROOM
    assert not any(span.style == "bold red" for span in shown.spans)


def test_long_names_of_sides_and_metrics_are_cut_with_a_sign_and_no_mark_has_a_line_of_its_own():
    rows = [completion(i, f'{{"order": "A{i}"}}') for i in range(30)]
    for labels in (("base", "support-lora"), ("qwen2.5-0.5b-instruct", "a" * 40)):
        shown = figures(summarise(rows, 30), None, [], None, labels=labels)
        lines = shown.plain.split("\n")[:-1]
        assert max(map(len, lines)) <= ROOM
        assert any(line.endswith("▲ <.001") for line in lines)
        heads = [line.split() for line in lines if line.endswith(" p")]
        for head in heads:
            for label, cell in zip(reversed(labels), head[-4::-1], strict=False):
                assert cell == label or (cell.endswith("…") and label.startswith(cell[:-1]))


def test_other_sides_are_called_by_their_labels():
    tally = VoteTally(
        counts=PairedCounts(wins=1, losses=12),
        identical=0,
        both_bad=0,
        skipped=0,
        open=0,
        repeated=0,
        consistent=0,
        left_share=None,
    )
    shown = figures(None, None, [tally], None, labels=("old one", "new one")).plain
    assert "new one won 1, lost 12, tied 0" in shown
    assert "the old one is preferred over the new one" in shown
