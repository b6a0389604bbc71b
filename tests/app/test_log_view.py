"""The end of a growing file, and its lines on the screen."""

from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.app.conftest import until
from tuiwb.app.log_tail import LONGEST, LogTail
from tuiwb.app.widgets.log_view import KEPT, MOST, LogLines, LogView


class OneLog(App[None]):
    """A log alone on the screen."""

    def compose(self) -> ComposeResult:
        yield LogView(id="log")

    @property
    def lines(self) -> LogLines:
        return self.query_one(LogLines)


def test_lines_come_whole_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    tail = LogTail(path)
    assert tail.poll() == []
    path.write_text("one\ntw")
    assert tail.poll() == ["one"]
    assert tail.rest == "tw"
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert tail.poll() == ["two", "three"]
    assert tail.rest == ""


def test_a_progress_bar_is_its_last_state(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"10%\r20%\r30%")
    tail = LogTail(path)
    assert tail.poll() == []
    assert tail.rest == "30%"
    with path.open("ab") as file:
        file.write(b"\r100%\r\ndone\r\n")
    assert tail.poll() == ["100%", "done"]


def test_a_line_of_10_mb_is_kept_short_whether_it_was_there_or_comes(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"x" * 10_000_000 + b"\nafter\n")
    assert LogTail(path).poll() == ["after"]
    tail = LogTail(tmp_path / "other.log")
    (tmp_path / "other.log").write_bytes(b"")
    tail.poll()
    with (tmp_path / "other.log").open("ab") as file:
        file.write(b"y" * 10_000_000 + b"\nafter\n")
    lines = [line for _ in range(10) for line in tail.poll()]
    assert len(lines) == 2
    assert len(lines[0]) < LONGEST + 40
    assert lines[0].endswith("9,996,000 more bytes")
    assert lines[1] == "after"


def test_a_file_that_was_replaced_or_cut_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("one\ntwo\n")
    tail = LogTail(path)
    assert tail.poll() == ["one", "two"]
    path.write_text("new\n")
    assert tail.poll() == ["new"]
    beside = tmp_path / "beside"
    beside.write_text("another file, longer than the first\n")
    beside.replace(path)
    assert tail.poll() == ["another file, longer than the first"]


async def test_long_lines_wrap_and_wrap_anew_at_another_width() -> None:
    app = OneLog()
    async with app.run_test(size=(20, 10)) as pilot:
        app.lines.add([("x" * 45, "")])
        await pilot.pause()
        assert len(app.lines._rows) == 3
        await pilot.resize_terminal(60, 10)
        await until(lambda: len(app.lines._rows) == 1)
        assert app.lines.text == "x" * 45


async def test_it_follows_the_end_until_one_scrolls_up() -> None:
    app = OneLog()
    async with app.run_test(size=(40, 10)) as pilot:
        app.lines.focus()
        app.lines.add([(f"line {n}", "") for n in range(50)])
        await pilot.pause()
        assert app.lines.at_end
        await pilot.press("pageup")
        top = app.lines.scroll_offset.y
        app.lines.add([("more", "")])
        await pilot.pause()
        assert app.lines.scroll_offset.y == top
        await pilot.press("end")
        app.lines.add([("still more", "")])
        await until(lambda: app.lines.at_end)


async def test_only_so_many_lines_are_kept() -> None:
    app = OneLog()
    async with app.run_test(size=(40, 10)) as pilot:
        for start in range(0, KEPT + 2000, 1000):
            app.lines.add([(f"line {n}", "") for n in range(start, start + 1000)])
        await pilot.pause()
        kept = app.lines.text.split("\n")
        assert len(kept) == KEPT
        assert kept[-1] == f"line {KEPT + 1999}"
        assert len(app.lines._rows) == KEPT


async def test_of_long_lines_only_so_many_characters_are_kept() -> None:
    app = OneLog()
    async with app.run_test(size=(40, 10)) as pilot:
        app.lines.add([(f"{n:05}" + "x" * 995, "") for n in range(KEPT)])
        await pilot.pause()
        kept = app.lines.text.split("\n")
        assert len(kept) == MOST // 1000
        assert kept[-1].startswith(f"{KEPT - 1:05}")
        assert len(app.lines._rows) > len(kept)
        app.lines.add([("the last", "")])
        await until(lambda: app.lines.render_line(app.lines.size.height - 1).text.strip())


async def test_the_last_line_is_shown_while_it_is_written_and_replaced() -> None:
    app = OneLog()
    async with app.run_test(size=(40, 10)) as pilot:
        app.lines.add([("first", "")], ("10%", ""))
        app.lines.add([], ("20%", ""))
        assert app.lines.text == "first\n20%"
        app.lines.add([("100%", ""), ("second", "")])
        await pilot.pause()
        assert app.lines.text == "first\n100%\nsecond"
        shown = [app.lines.render_line(y).text.rstrip() for y in range(len(app.lines._rows))]
        assert shown == ["first", "100%", "second"]


async def test_a_search_that_is_no_regex_looks_for_the_text() -> None:
    app = OneLog()
    async with app.run_test(size=(40, 10)):
        app.lines.add([("a [b", ""), ("c", "")])
        assert app.lines.search("[b", -1) == (1, 1)
        assert app.lines.search("nothing", -1) == (0, 0)
        assert app.lines.search("", -1) == (0, 0)


def said_of(app: OneLog) -> str:
    line = app.query_one(LogView).query_one(Static)
    return str(line.content) if line.display else ""


async def test_what_a_search_says_is_true_of_what_comes_and_goes() -> None:
    app = OneLog()
    async with app.run_test(size=(40, 10)) as pilot:
        log = app.query_one(LogView)
        log.add([(f"line {n}", "") for n in range(3)], ("half a match", ""))
        app.lines.focus()
        await pilot.press("slash", *"match", "enter")
        await until(lambda: said_of(app) == "match 1 of 1: match")
        log.add([("half a match, then whole", "")])
        await until(lambda: said_of(app) == "match 1 of 1: match")
        log.add([(f"match {n}", "") for n in range(9)], ("none", ""))
        await until(lambda: said_of(app) == "match 1 of 10: match")
        await pilot.press("n")
        await until(lambda: said_of(app) == "match 2 of 10: match")
        log.add([(f"line {n}", "") for n in range(KEPT - 3)])
        await until(lambda: said_of(app) == "3 found: match")
        await pilot.press("N")
        await until(lambda: said_of(app) == "match 3 of 3: match")
        log.clear()
        log.add([("no match", "")])
        await until(lambda: not said_of(app))
        assert "again(1)" not in {a.binding.action for a in app.screen.active_bindings.values()}
        underlined = [s.style.underline for s in app.lines.render_line(0) if s.style and s.text]
        assert not any(underlined)


async def test_a_search_says_which_match_it_is_or_that_there_is_none() -> None:
    app = OneLog()

    def said() -> str:
        return said_of(app)

    async with app.run_test(size=(40, 10)) as pilot:
        app.lines.add([(f"line {n}", "") for n in range(3)])
        app.lines.focus()
        await pilot.press("slash", *"line", "enter")
        await until(lambda: said() == "match 3 of 3: line")
        assert "again(1)" in {a.binding.action for a in app.screen.active_bindings.values()}
        await pilot.press("N")
        await until(lambda: said() == "match 2 of 3: line")
        await pilot.press("slash", "backspace", *"[red", "enter")
        await until(lambda: said() == "nothing found: [red")
        await pilot.press("slash", "escape")
        await until(lambda: not said())
