"""The ways to write a unit of measure, and the key under which a language names it."""

from __future__ import annotations

UNITS: dict[str, str] = {
    written: key
    for key, ways in {
        "mbps": "Mbps mbps MBPS Mb/s mbit/s Mbit/s",
        "kbps": "Kbps kbps KBPS Kb/s kb/s",
        "gbps": "Gbps gbps GBPS Gb/s",
        "gb": "GB gb Gb GBs",
        "mb": "MB mb Mb MBs",
        "kb": "KB kb Kb",
        "tb": "TB tb",
        "km": "km kms Km KM Kms KMs",
        "m": "m mtr mtrs",
        "cm": "cm cms",
        "mm": "mm",
        "kg": "kg kgs Kg KG Kgs",
        "g": "g gm gms",
        "mg": "mg",
        "l": "l L ltr ltrs",
        "ml": "ml mL ML",
        "celsius": "°C °c ° C deg C degC",
        "fahrenheit": "°F °f",
        "degree": "°",
        "kmph": "km/h kmph kmh km/hr Kmph",
        "ghz": "GHz ghz",
        "mhz": "MHz mhz",
        "hour": "hr hrs Hrs h",
        "minute": "min mins Mins",
        "second": "sec secs",
        "ms": "ms msec",
        "kw": "kW KW",
        "kwh": "kWh kwh KWh KWH",
        "w": "W",
        "v": "V",
        "sqft": "sqft sq.ft. sq.ft",
        "sqkm": "sqkm",
        "month": "mo mth mths",
        "year": "yr yrs",
    }.items()
    for written in ways.split()
    if written != "deg"
} | {"sq ft": "sqft", "sq. ft.": "sqft", "sq km": "sqkm", "deg C": "celsius", "° C": "celsius"}
del UNITS["C"]

SPELT = frozenset({"mbps", "kbps", "gbps", "gb", "mb", "kb", "tb"})
"""In an Indian language their English letters are said, unless its file names them."""
