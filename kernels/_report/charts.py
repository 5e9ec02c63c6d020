"""The charts of the page, as specifications for Vega-Lite, which draws them in the browser.

Variants are told apart by colour and by symbol: eight colours and seven symbols, so that no pair comes twice before 56. The
colours differ for colour-blind readers too, and each has a contrast of 3 to 1 with white and with near-black.
"""

from __future__ import annotations

from typing import Any

from kernels._explanation import duration
from kernels._report.calls import Call

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


def _log(field: str, title: str, unit: str = "") -> dict[str, Any]:
    """Return a channel on a logarithmic axis, with numbers at 1, 2 and 5 times the powers of ten."""
    text = f"format(datum.value, '~s') + '{unit}'"
    shown = f"indexof('125', substring(format(datum.value, '.0e'), 0, 1)) < 0 ? '' : {text}"
    scale = {"type": "log", "nice": False, "padding": 12}
    axis = {"title": title or None, "labelExpr": shown, "labelOverlap": "greedy", "labelSeparation": 4}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def _tooltip(*fields: str) -> list[dict[str, Any]]:
    """Return the channel of what is shown beside a mark that a reader points at."""
    return [{"field": field, "type": "nominal"} for field in fields]


def _places(found: list[Call], sizes: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Return what is the same for every chart of calls: the place of each call, and what it is."""
    return [{"sizes": size, "kind": c.kind, "call": c.title} for c, size in zip(found, sizes, strict=True)]


def _axes(found: list[Call], **axes: list[str]) -> dict[str, Any]:
    """Return the parameters and transforms by which a reader chooses what is on each axis, and the kind of calls."""
    every = ["all", *dict.fromkeys(c.kind for c in found)]
    choice = {"input": "select"}
    params = [
        {"name": key, "value": names[0], "bind": choice | {"options": names, "name": f"{key} "}} for key, names in axes.items()
    ]
    params.append({"name": "kind", "value": "all", "bind": choice | {"options": every, "name": "kind "}})
    places = [{"calculate": f"datum.sizes[{key}]", "as": f"at {key}"} for key in axes]
    shown = "(kind == 'all' || kind == datum.kind)" + "".join(f" && datum['at {key}'] > 0" for key in axes)
    return {"params": params, "transform": [*places, {"filter": shown}]}


def _widest(sizes: list[dict[str, float]]) -> list[str]:
    """Return the names of sizes that differ, first the one that differs most, as a ratio."""
    ratios = {}
    for name in dict.fromkeys(name for size in sizes for name in size):
        values = [size[name] for size in sizes if size.get(name, 0) > 0]
        ratios[name] = max(values, default=1) / min(values, default=1)
    return sorted((name for name in ratios if ratios[name] > 1), key=lambda name: -ratios[name]) or [*ratios]


def winners(found: list[Call], sizes: list[dict[str, float]], unit: str) -> dict[str, Any]:
    """Return the map: for each call the symbol of the variant that wins, hollow where the lead is within the noise.

    A cross marks a call for which a variant was wrong.

    Parameters
    ----------
    found : list of Call
        Of one operation.
    sizes : list of dict
        The extents of each, and its work.
    unit : str
        The name of the work among the sizes.
    """
    values = _places(found, sizes)
    for value, c in zip(values, found, strict=True):
        value |= {
            "variant": c.winner.label if c.winner else "",
            "time": duration(c.winner.seconds) if c.winner else "",
            "lead": c.lead_text,
            "A/A noise": "not kept" if c.noise is None else f"{c.noise:.1%}",
            "WRONG": ", ".join(entry.variant for entry in c.wrong),
            "tied": c.tied,
        }
    wins = [value["variant"] for value in values if value["variant"]]
    look = _variant(sorted(set(wins), key=lambda name: (-wins.count(name), name)))
    tooltip = _tooltip("call", "variant", "time", "lead", "A/A noise", "WRONG")
    place = {"x": _log("at across", ""), "y": _log("at up", ""), "tooltip": tooltip}
    solid = {"fill": look["color"], "fillOpacity": {"condition": {"test": "datum.tied", "value": 0}, "value": 1}}
    won = {
        "transform": [{"filter": "datum.variant"}],
        "mark": {"type": "point", "size": 90, "strokeWidth": 2},
        "encoding": look | solid,
    }
    cross = {"condition": {"test": "datum.WRONG", "value": "✕"}, "value": ""}
    wrong = {
        "mark": {"type": "text", "color": WRONG, "fontSize": 17, "fontWeight": 900, "dx": 9, "dy": -6},
        "encoding": {"text": cross},
    }
    names = [*_widest([dict(c.extents) for c in found]), unit]
    first, *others = names  # an extent that mostly is like the first one makes no map with it
    apart = [name for name in others if 2 * sum(size.get(name) != size.get(first) for size in sizes) > len(sizes)]
    axes = _axes(found, across=names, up=[*dict.fromkeys([*apart, *others, first])])
    description = f"Map of the fastest variant for {len(found)} calls"
    return _chart(values, description, **axes, encoding=place, layer=[won, wrong], width="container", height=320)


def growth(found: list[Call], sizes: list[dict[str, float]], unit: str) -> dict[str, Any]:
    """Return the chart of time against size, by default against the operation's work.

    Parameters
    ----------
    found, sizes, unit
        As `winners` takes them.
    """
    values = [
        place | {"seconds": entry.seconds, "variant": entry.variant, "time": duration(entry.seconds)}
        for place, c in zip(_places(found, sizes), found, strict=True)
        for entry in c.runs
    ]
    chosen = {"name": "chosen", "select": {"type": "point", "fields": ["variant"]}, "bind": "legend"}
    encoding = {
        "x": _log("at along", ""),
        "y": _log("seconds", "time of a run", "s"),
        "opacity": {"condition": {"param": "chosen", "value": 1}, "value": 0.1},
        "tooltip": _tooltip("variant", "time", "call"),
        **_variant(sorted({value["variant"] for value in values})),
    }
    axes = _axes(found, along=[unit, *(name for name in _widest(sizes) if name != unit)])
    axes["params"].append(chosen)
    mark = {"type": "point", "filled": True, "size": 55}
    description = "Median time of a run against size, for each variant"
    return _chart(values, description, **axes, encoding=encoding, mark=mark, width="container", height=360)


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
    look = _variant(sorted({d["variant"] for d in dots})) | {"tooltip": _tooltip("variant", "work", "achieved")}
    lines = {"data": {"values": roofs}, "mark": {"type": "line", "color": "gray"}, "encoding": {"strokeDash": dash}}
    points = {"mark": {"type": "point", "filled": True, "size": 60}, "encoding": look}
    layer = [lines, points] if roofs else [points]
    return _chart(
        dots, "Work a second beneath the ceilings of the GPU", encoding=place, layer=layer, width="container", height=320
    )
