"""English as it is spoken in India: lakh and crore, "and" in numbers, day before month."""

from appliance.speech.language import Clock, Currency, Language, Numbers, Scale, Script

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

NUMBERS = Numbers(
    below_hundred=(
        *_ONES,
        *(f"{ten}-{one}" if one != "zero" else ten for ten in _TENS for one in _ONES[:10]),
    ),
    hundreds=("", *(f"{one} hundred" for one in _ONES[1:10])),
    scales=(
        Scale(10_000_000, "one crore", "{} crore"),
        Scale(100_000, "one lakh", "{} lakh"),
        Scale(1_000, "one thousand", "{} thousand"),
    ),
    point="point",
    minus="minus",
    joiner="and",
    ordinals={
        1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth",
    },
)  # fmt: skip

LANGUAGE = Language(
    code="en",
    script=Script.LATIN,
    numbers=NUMBERS,
    clock=Clock(
        hour="{h} o'clock",
        minutes="{h} {m}",
        oclock=("o'clock", "hours", "hrs"),
        swallowed={"hours": "", "hrs": ""},
        parts=((0, "A M"), (12, "P M")),
        part="{time} {p}",
    ),
    months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
    ),
    date="{o} {m}",
    date_year="{o} {m} {y}",
    money={
        "INR": Currency("rupee", "rupees", "paisa", "paise"),
        "USD": Currency("dollar", "dollars", "cent", "cents"),
        "EUR": Currency("euro", "euros", "cent", "cents"),
        "GBP": Currency("pound", "pounds", "penny", "pence"),
    },
    percent="{} percent",
    ranges="{} to {}",
    fraction="{} by {}",
    ratio="{} to {}",
    per="per {}",
    fractions={
        "1/2": "half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter",
        "3/4": "three quarters",
    },
    units={
        "mbps": ("megabit per second", "megabits per second"),
        "kbps": ("kilobit per second", "kilobits per second"),
        "gbps": ("gigabit per second", "gigabits per second"),
        "gb": ("G B", "G B"),
        "mb": ("M B", "M B"),
        "kb": ("K B", "K B"),
        "tb": ("T B", "T B"),
        "km": ("kilometre", "kilometres"),
        "m": ("metre", "metres"),
        "cm": ("centimetre", "centimetres"),
        "mm": ("millimetre", "millimetres"),
        "kg": ("kilogram", "kilograms"),
        "g": ("gram", "grams"),
        "mg": ("milligram", "milligrams"),
        "l": ("litre", "litres"),
        "ml": ("millilitre", "millilitres"),
        "celsius": ("degree Celsius", "degrees Celsius"),
        "fahrenheit": ("degree Fahrenheit", "degrees Fahrenheit"),
        "degree": ("degree", "degrees"),
        "kmph": ("kilometre per hour", "kilometres per hour"),
        "ghz": ("gigahertz", "gigahertz"),
        "mhz": ("megahertz", "megahertz"),
        "hour": ("hour", "hours"),
        "minute": ("minute", "minutes"),
        "second": ("second", "seconds"),
        "ms": ("millisecond", "milliseconds"),
        "kw": ("kilowatt", "kilowatts"),
        "kwh": ("unit", "units"),
        "w": ("watt", "watts"),
        "v": ("volt", "volts"),
        "sqft": ("square foot", "square feet"),
        "sqkm": ("square kilometre", "square kilometres"),
        "month": ("month", "months"),
        "year": ("year", "years"),
    },
    symbols={
        "&": "and", "@": "at", "+": "plus", "=": "equals", "#": "hash", "*": "star", ".": "dot",
        "-": "dash", "_": "underscore", "/": "slash", "%": "percent", "×": "by", "°": "degrees",
        "$": "dollars", "€": "euros", "£": "pounds", "₹": "rupees", "№": "number", "±": "plus or minus",
        "÷": "divided by", "~": "about", "<": "less than", ">": "more than", "©": "copyright",
        ":": "colon", "?": "question mark",
    },
    cues=(
        "otp", "one time password", "one-time password", "pin", "pincode", "pin code", "postal code",
        "passcode", "password", "cvv", "pnr", "account", "account number", "a/c", "card number",
        "card ending", "card", "ending in", "ending with", "ends in", "ends with", "last four digits",
        "last 4 digits", "aadhaar", "aadhar", "reference number", "ticket number", "complaint number",
        "docket number", "order number", "order id", "request number", "customer id", "consumer number",
        "consumer id", "service number", "transaction id", "reference id",
        "tracking number", "id", "ref", "ref no",
        "verification code", "security code", "code", "mobile number", "phone number", "contact number",
        "telephone number", "landline number", "registered number", "helpline", "dial", "toll-free",
        "toll free", "utr", "imei", "ifsc", "loan number", "policy number",
    ),
    abbreviations={
        "mr": "Mister", "mrs": "Missus", "ms": "Miss", "dr": "Doctor", "prof": "Professor",
        "smt": "Shrimati", "approx": "approximately", "etc": "et cetera", "vs": "versus",
        "govt": "government", "dept": "department", "ltd": "limited", "pvt": "private",
        "co": "company", "ext": "extension", "tel": "telephone", "fig": "figure", "st": "Saint",
        "e.g": "for example", "rs": "rupees", "i.e": "that is", "a/c": "account",
        "w/o": "without", "c/o": "care of",
        "b/w": "between", "no": "number", "nos": "numbers", "min": "minimum", "max": "maximum",
        "addr": "address", "jr": "junior", "sr": "senior", "qty": "quantity", "info": "information",
    },
    day_and_night="twenty-four seven",
)  # fmt: skip
