"""A document as one HTML file: no script, nothing from outside, light and dark."""

from __future__ import annotations

from html import escape

from appliance.rehearsal.budgets import Verdict
from appliance.rehearsal.document import Document, Section, Table
from appliance.rehearsal.plots import svg

_CSS = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #ffffff; --ink: #1f2430;
  --soft: #5d6675; --line: #d5dae2; --accent: #2563b8; --good: #1f7a4d; --bad: #b3261e;
  --good-back: #e4f4ec; --bad-back: #fbe9e7; }
@media (prefers-color-scheme: dark) { :root { --paper: #12151b; --card: #1a1f28; --ink: #e8ebf0;
  --soft: #9aa4b4; --line: #333b48; --accent: #7db1f2; --good: #6fd3a0; --bad: #ff8a80;
  --good-back: #16362a; --bad-back: #42211f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
h1 { font-size: 1.85rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 0 0 .7rem; }
.sub { color: var(--soft); margin: 0 0 1.6rem; }
.summary { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--accent);
  border-radius: 10px; padding: 1rem 1.3rem; margin-bottom: 1.2rem; }
.summary p { margin: .3rem 0; } .summary p:first-child { font-size: 1.12rem; font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: .8rem;
  margin-bottom: 1.2rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; } .tile b { display: block; font-size: 1.4rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; } .tile span { color: var(--soft); font-size: .84rem; }
.tile.kept b { color: var(--good); } .tile.missed b { color: var(--bad); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.2rem 1.3rem; margin-bottom: 1.2rem; }
section > p { margin: 0 0 .7rem; color: var(--soft); max-width: 48rem; }
figure { margin: 0 0 .6rem; } figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: inherit !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .4rem 0 .6rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; } th { color: var(--soft); font-weight: 600; white-space: nowrap; }
th:first-child, td:first-child, .words { text-align: left; }
td:first-child { font-weight: 500; } td.words { color: var(--soft); min-width: 15rem; }
tr:last-child td { border-bottom: 0; }
.mark { border-radius: 99px; padding: .1rem .6rem; font-weight: 600; white-space: nowrap; }
.mark.kept { color: var(--good); background: var(--good-back); }
.mark.missed { color: var(--bad); background: var(--bad-back); }
.mark.unknown { color: var(--soft); border: 1px solid var(--line); font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .84rem; }
@media print { body { background: none; } section, .summary, .tile { break-inside: avoid; } }
"""
_CLASSES = {Verdict.KEPT: "kept", Verdict.MISSED: "missed", Verdict.UNKNOWN: "unknown"}


def to_html(document: Document) -> str:
    """The whole file; every text is escaped."""
    tiles = "".join(_tile(*tile) for tile in document.tiles)
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in document.facts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(document.title)}</title>
<style>{_CSS}</style></head>
<body><main>
<h1>{escape(document.title)}</h1>
<p class="sub">{escape(document.subtitle)}</p>
<div class="summary">{_paragraphs(document.summary)}</div>
<div class="tiles">{tiles}</div>
{"".join(_section(section) for section in document.sections)}
<section><h2>What was measured</h2><dl>{facts}</dl></section>
<footer>{escape(document.footer)}</footer>
</main></body></html>
"""


def _tile(name: str, value: str, verdict: Verdict | None) -> str:
    kind = f" {_CLASSES[verdict]}" if verdict else ""
    return f'<div class="tile{kind}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _section(section: Section) -> str:
    plots = "".join(f"<figure>{svg(plot)}</figure>" for plot in section.plots)
    tables = "".join(_table(table) for table in section.tables)
    head = f"<h2>{escape(section.heading)}</h2>"
    return f"<section>{head}{_paragraphs(section.text)}{plots}{tables}</section>\n"


def _table(table: Table) -> str:
    judged = bool(table.verdicts)
    head = "".join(_cell("th", n, escape(name), table) for n, name in enumerate(table.columns))
    head += "<th></th>" if judged else ""
    rows = []
    for number, row in enumerate(table.rows):
        cells = "".join(_cell("td", n, escape(text), table) for n, text in enumerate(row))
        verdict = table.verdicts[number] if judged else None
        if judged:
            mark = (
                f'<span class="mark {_CLASSES[verdict]}">{verdict.value}</span>' if verdict else ""
            )
            cells += f"<td>{mark}</td>"
        rows.append(f"<tr>{cells}</tr>")
    body = "".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(tag: str, column: int, content: str, table: Table) -> str:
    kind = ' class="words"' if column in table.words else ""
    return f"<{tag}{kind}>{content}</{tag}>"


def _paragraphs(texts: tuple[str, ...]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)
