"""The charts of the page, as specifications for Vega-Lite, which draws them in the browser.

Variants are told apart by colour and by symbol: eight colours and seven symbols, so that no pair comes twice before 56. The
colours differ for colour-blind readers too, and each has a contrast of 3 to 1 with white and with near-black.
"""

from __future__ import annotations

from typing import Any

from kernels._measure.environment import duration
from kernels._report.calls import Call, series

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#C8649B", "#9A7500", "#7B61D9", "#7F7F7F", "#2F93C9")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
WRONG = "#D0021B"
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, which nothing fetches


def _chart(values: list[dict[str, Any]], description: str, **more: Any) -> dict[str, Any]:
    config = {
        "background": None,
        "view": {"stroke": None},
        "font": "inherit",
        "axis": {"labelLimit": 260},
        "point": {"opacity": 1},
    }
    return {"$schema": SCHEMA, "description": description, "data": {"values": values}, "config": config, **more}


def _variant(names: list[str], **legend: Any) -> dict[str, Any]:
    """Return the channels that tell variants apart."""
    look = {"title": None, "orient": "bottom", "columns": 2, "labelLimit": 130, "symbolSize": 90, **legend}
    channel = {"field": "variant", "type": "nominal", "legend": look}
    colours, symbols = ([kinds[i % len(kinds)] for i in range(len(names))] for kinds in (COLOURS, SYMBOLS))
    return {
        "color": channel | {"scale": {"domain": names, "range": colours}},
        "shape": channel | {"scale": {"domain": names, "range": symbols}},
    }


def _log(field: str, title: str | None = None, unit: str = "") -> dict[str, Any]:
    """Return a channel on a logarithmic axis, with numbers at 1, 2 and 5 times the powers of ten."""
    text = f"format(datum.value, '~s') + '{unit}'"
    shown = f"indexof('125', substring(format(datum.value, '.0e'), 0, 1)) < 0 ? '' : {text}"
    scale = {"type": "log", "nice": False, "padding": 12}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": {"title": title or field, "labelExpr": shown}}


def winners(found: list[Call]) -> dict[str, Any]:
    """Return the map: for each call the symbol of the variant that wins, hollow where the lead is within the noise.

    Each row is a series of calls. A cross marks a call for which a variant was wrong.
    """
    rows = series(found)
    values = [
        {
            "row": row,
            "size": size,
            "call": c.title,
            "variant": c.winner.label if c.winner else "",
            "time": duration(c.winner.seconds) if c.winner else "",
            "lead": c.lead_text,
            "A/A noise": "not kept" if c.noise is None else f"{c.noise:.1%}",
            "WRONG": ", ".join(entry.variant for entry in c.wrong),
            "tied": c.tied,
        }
        for row, sized in rows.items()
        for size, c in sized
    ]
    wins = [str(value["variant"]) for value in values if value["variant"]]
    look = _variant(sorted(set(wins), key=lambda name: (-wins.count(name), name)))
    shown = ("call", "variant", "time", "lead", "A/A noise", "WRONG")
    lines = {"title": None, "grid": True, "labelExpr": "split(datum.label, '; ')", "labelOffset": -6}  # half a line up
    place = {
        "x": {"field": "size", "type": "ordinal", "axis": {"labelAngle": -60, "grid": True, "format": ",d"}},
        "y": {"field": "row", "type": "ordinal", "sort": [*rows], "axis": lines},
        "tooltip": [{"field": key, "type": "nominal"} for key in shown],
    }
    solid = {"fill": look["color"], "fillOpacity": {"condition": {"test": "datum.tied", "value": 0}, "value": 1}}
    won = {
        "transform": [{"filter": "datum.variant"}],
        "mark": {"type": "point", "size": 110, "strokeWidth": 2},
        "encoding": look | solid,
    }
    wrong = {
        "transform": [{"filter": "datum.WRONG"}],
        "mark": {"type": "text", "text": "✕", "color": WRONG, "fontSize": 17, "fontWeight": 900, "dx": 9, "dy": -6},
    }
    description = f"Map of the fastest variant for {len(found)} calls"
    return _chart(values, description, encoding=place, layer=[won, wrong], width={"step": 30}, height={"step": 36})


def growth(found: list[Call]) -> dict[str, Any] | None:
    """Return the chart of time against size, one series at a time, or None where no series has three sizes."""
    long = {title: sized for title, sized in series(found).items() if len(sized) > 2}
    values: list[dict[str, Any]] = [
        {"series": title, "size": size, "seconds": e.seconds, "variant": e.variant, "time": duration(e.seconds), "call": c.title}
        for title, sized in long.items()
        for size, c in sized
        for e in c.runs
        if size
    ]
    if not values:
        return None
    names = sorted({value["variant"] for value in values})
    titles = [*dict.fromkeys(value["series"] for value in values)]
    look = _variant(names)
    params = [
        {"name": "series", "value": titles[0], "bind": {"input": "select", "options": titles, "name": "series "}},
        {"name": "chosen", "select": {"type": "point", "fields": ["variant"]}, "bind": "legend"},
    ]
    encoding = {
        "x": _log("size"),
        "y": _log("seconds", "median time of a run", "s"),
        "opacity": {"condition": {"param": "chosen", "value": 1}, "value": 0.12},
        "tooltip": [{"field": key, "type": "nominal"} for key in ("variant", "time", "call")],
        **look,
    }
    line = {"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": {"shape": {"value": None}}}
    point = {"mark": {"type": "point", "filled": True, "size": 60}}
    return _chart(
        values,
        "Median time of a run against size, for each variant",
        params=params[:1],
        transform=[{"filter": "datum.series == series"}],
        encoding=encoding,
        layer=[line, point | {"params": params[1:]}],
        width="container",
        height=320,
    )


def roofline(records: list[dict[str, Any]], ceilings: dict[str, float], unit: str) -> dict[str, Any]:
    """Return the chart of what a GPU achieved beneath its measured ceilings.

    Parameters
    ----------
    records : list of dict
        Of one operation, as `bench/gpu.py` writes them.
    ceilings : dict
        The most units a second by name; "copy" is in bytes a second.
    unit : str
        Of the operation's work.
    """
    timed = [r for r in records if r["seconds"]]
    dots = [
        {"intensity": r["units"] / r["bytes"], "rate": r["units"] / r["seconds"], "variant": r["label"], "work": r["work"],
         "achieved": r["rate"]}
        for r in timed
    ]  # fmt: skip
    ends = min(d["intensity"] for d in dots) / 3, max(d["intensity"] for d in dots) * 3
    roofs = []
    for name in sorted(ceilings.keys() & {r.get("ceiling") for r in timed}):
        knee = ceilings[name] / ceilings["copy"]
        places = sorted({*ends, min(max(knee, ends[0]), ends[1])})
        roofs += [{"intensity": x, "rate": min(ceilings[name], ceilings["copy"] * x), "roof": name} for x in places]
    place = {"x": _log("intensity", f"{unit} for each byte of arguments and result"), "y": _log("rate", f"{unit} a second")}
    dash = {"field": "roof", "type": "nominal", "legend": {"title": "ceiling", "orient": "bottom"}}
    tooltip = [{"field": key, "type": "nominal"} for key in ("variant", "work", "achieved")]
    names = sorted({d["variant"] for d in dots})
    lines = {"data": {"values": roofs}, "mark": {"type": "line", "color": "gray"}, "encoding": {"strokeDash": dash}}
    points = {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": {**_variant(names), "tooltip": tooltip}}
    layer = [lines, points] if roofs else [points]
    return _chart(
        dots, "Work a second beneath the ceilings of the GPU", encoding=place, layer=layer, width="container", height=320
    )
