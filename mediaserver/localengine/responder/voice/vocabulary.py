"""Tables of the reader: how written signs, units, keys and short forms are said in English."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ABBREVIATIONS = {
    **{"e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "approx.": "approximately"},
    **{"cf.": "compare", "fig.": "figure", "vol.": "volume", "pp.": "pages"},
    **{"dept.": "department", "est.": "established", "incl.": "including", "excl.": "excluding", "a.k.a.": "a k a"},
    **{"a.m.": "A.M.", "p.m.": "P.M.", "inc.": "incorporated", "ltd.": "limited", "co.": "company", "jr.": "junior"},
    **{"w/": "with", "w/o": "without", "n/a": "not applicable", "b/c": "because", "and/or": "and or", "i/o": "I.O."},
    **{"24/7": "twenty four seven", "tcp/ip": "T.C.P. I.P.", "c++": "C plus plus", "c#": "C sharp", "f#": "F sharp"},
    **{".net": "dot net", "asap": "as soon as possible", "vs": "versus", "sq.": "square", "ext.": "extension"},
}
"""Short forms in lower case, with their points; matched in any case."""

TITLES = {
    **{"Mr": "Mister", "Mrs": "Missis", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor", "St": "Saint"},
    **{"Mt": "Mount", "Gen": "General", "Capt": "Captain", "Sgt": "Sergeant", "Rev": "Reverend", "No": "number"},
}
"""Short forms before a name or a number."""

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

UNITS = {
    "km": ("kilometer", "kilometers"),
    "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "l": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"),
    "yd": ("yard", "yards"),
    "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "KiB": ("kibibyte", "kibibytes"),
    "MiB": ("mebibyte", "mebibytes"),
    "GiB": ("gibibyte", "gibibytes"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "Mbit/s": ("megabit per second", "megabits per second"),
    "kB/s": ("kilobyte per second", "kilobytes per second"),
    "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"),
    "m/s": ("meter per second", "meters per second"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "V": ("volt", "volts"),
    "mAh": ("milliamp hour", "milliamp hours"),
    "dB": ("decibel", "decibels"),
    "fps": ("frame per second", "frames per second"),
    "ns": ("nanosecond", "nanoseconds"),
    "µs": ("microsecond", "microseconds"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "px": ("pixel", "pixels"),
    "pt": ("point", "points"),
    "dpi": ("dot per inch", "dots per inch"),
    "%": ("percent", "percent"),
    "°": ("degree", "degrees"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "x": ("time", "times"),
    "×": ("time", "times"),
}
"""Units after a number, singular and plural."""

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
"""Signs of money: singular and plural of the whole, singular and plural of its hundredth."""

MAGNITUDES = {
    **{"k": "thousand", "K": "thousand", "m": "million", "M": "million", "bn": "billion", "b": "billion"},
    **{"B": "billion", "tn": "trillion", "T": "trillion"},
    **{name: name for name in ("hundred", "thousand", "million", "billion", "trillion")},
}

FRACTIONS = {
    **{"1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter", "3/4": "three quarters"},
    **{"½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter", "¾": "three quarters"},
}

MODIFIERS = {
    **{"ctrl": "control", "control": "control", "strg": "control", "alt": "alt", "altgr": "alt graph"},
    **{"shift": "shift", "cmd": "command", "command": "command", "option": "option", "opt": "option"},
    **{"win": "windows", "windows": "windows", "super": "super", "meta": "meta", "fn": "function"},
    **{"⌘": "command", "⇧": "shift", "⌥": "option", "⌃": "control"},
}
"""Keys that are held, in lower case."""

KEYS = {
    **{"esc": "escape", "del": "delete", "ins": "insert", "enter": "enter", "return": "return", "tab": "tab"},
    **{"space": "space", "backspace": "backspace", "bksp": "backspace", "home": "home", "end": "end"},
    **{"pgup": "page up", "pgdn": "page down", "pageup": "page up", "pagedown": "page down", "insert": "insert"},
    **{"prtsc": "print screen", "prtscn": "print screen", "capslock": "caps lock", "numlock": "num lock"},
    **{"up": "up", "down": "down", "left": "left", "right": "right", "escape": "escape", "delete": "delete"},
    **{"↑": "up", "↓": "down", "←": "left", "→": "right", "⏎": "enter", "⌫": "backspace", "⇥": "tab", "⎋": "escape"},
    **{"plus": "plus", "minus": "minus", "break": "break", "pause": "pause"},
}
"""Other keys, in lower case."""

LONE_KEYS = (
    "esc",
    "pgup",
    "pgdn",
    "prtsc",
    "prtscn",
    "bksp",
    "ctrl",
    "altgr",
    "capslock",
    "numlock",
    "⌘",
    "⇧",
    "⌥",
    "⌃",
)
"""Short forms that mean a key without another one beside them."""

EXTENSIONS_SAID = {
    **{"json": "jason", "yaml": "yammel", "yml": "yammel", "toml": "tommel", "zip": "zip", "tar": "tar", "log": "log"},
    **{"bat": "bat", "env": "env", "lock": "lock", "gif": "gif", "bin": "bin", "wav": "wave", "ini": "innie"},
    **{"conf": "conf", "text": "text", "java": "java", "swift": "swift", "docx": "doc X", "xlsx": "X.L.S. X"},
    **{"pptx": "P.P.T. X", "jpeg": "jay peg", "webp": "web P", "webm": "web M", "rst": "R.S.T.", "md": "M.D."},
    **{"mp3": "M.P. three", "mp4": "M.P. four", "m4a": "M four A", "7z": "seven Z", "example": "example"},
}
"""Endings of file names that are said as words."""

EXTENSIONS_SPELLED = _names(
    "aac avi bmp c cc cfg cpp cs css csv db dll dmg doc eml exe flac go gz h hpp htm html iso jar jpg js jsx key kt lua"
    " mjs mkv mov mpg ogg onnx opus otf pdf pem php pl png ppt ps ps1 psd py pyc rar rb rs rtf scss sh so sql svg tex"
    " tgz tif tiff ts tsx ttf txt vue whl woff xls xml xz"
)
"""Endings of file names that are spelled."""

DOMAINS_SAID = _names("com org net edu gov info dev app cloud online shop page example local localhost test")
"""Last parts of host names that are said as words; others are spelled."""

DOMAINS = DOMAINS_SAID | _names("io co uk de fr es nl eu ca au ch tv ai jp")
"""Last parts by which a name without a scheme is taken for a host."""

SPELLED = _names(
    "US IT UI ID OS AI IP PC TV API URL CPU GPU USB PDF HTML CSS HTTP HTTPS SSH TLS SSL DNS TCP UDP RTC SDK CLI IDE CI"
    " CD QA PR UX VM VPN VAD TTS STT OCR LLM FAQ CEO EU UK USA OTP DB KB MB GB XML SVG PNG JPG CSV TXT AM PM"
)
"""Words in capitals that are spelled, although a dictionary may hold them in small letters."""

SAID = {
    **{"SQL": "sequel", "JSON": "jason", "YAML": "yammel", "README": "read me", "WIFI": "why fie", "ASCII": "askey"},
    **{"OK": "okay", "WebRTC": "web R.T.C.", "GitHub": "git hub", "PowerPoint": "power point", "LiveKit": "live kit"},
    **{"macOS": "mac O.S.", "iOS": "I.O.S.", "JavaScript": "java script", "TypeScript": "type script"},
    **{"PostgreSQL": "post gress", "MySQL": "my sequel", "SQLite": "sequel light", "PyPI": "pie P.I."},
    **{"YouTube": "you tube", "LinkedIn": "linked in", "OpenAI": "open A.I.", "ChatGPT": "chat G.P.T."},
    **{"localhost": "local host", "nginx": "engine X", "kubectl": "cube control", "regex": "reg ex"},
    **{"iPhone": "eye phone", "iPad": "eye pad", "eBay": "E bay", "LaTeX": "lay tech", "Wi-Fi": "why fie"},
}
"""Names whose parts would be read wrongly."""

PARTS_SAID = {
    **{
        "usr": "user",
        "src": "source",
        "tmp": "temp",
        "cfg": "config",
        "img": "image",
        "btn": "button",
        "msg": "message",
    },
    **{
        "pkg": "package",
        "init": "init",
        "etc": "E.T.C.",
        "lib": "lib",
        "dir": "dir",
        "req": "request",
        "ctx": "context",
    },
    **{"str": "string", "int": "int", "num": "num", "idx": "index", "args": "args", "kwargs": "keyword args"},
}
"""Parts of paths and identifiers that are short forms."""

OPERATORS = {
    **{"==": "equals", "===": "strictly equals", "!=": "is not equal to", "!==": "is not strictly equal to"},
    **{"<=": "is at most", ">=": "is at least", "->": "to", "→": "to", "=>": "gives", "&&": "and", "||": "or"},
    **{"+=": "plus equals", "-=": "minus equals", "*=": "times equals", ":=": "becomes", "=": "equals", "+": "plus"},
    **{
        "<": "is less than",
        ">": "is greater than",
        "*": "times",
        "/": "slash",
        "&": "and",
        "|": "pipe",
        "%": "percent",
    },
    **{"@": "at", "^": "to the power of", "~": "about", "±": "plus or minus", "×": "times", "÷": "divided by"},
    **{"≤": "is at most", "≥": "is at least", "≠": "is not equal to", "≈": "is about", "!": "not", "\\": "backslash"},
    **{"//": "slash slash", "**": "to the power of", "§": "section", "©": "copyright", "°": "degrees", "$": "dollar"},
}
"""Signs that stand alone between words."""

SIGNS = {
    **{"/": "slash", "\\": "backslash", ".": "dot", "@": "at", "#": "hash", "$": "dollar", "%": "percent", "&": "and"},
    **{"+": "plus", "=": "equals", "<": "less than", ">": "greater than", "|": "pipe", "~": "tilde", "^": "caret"},
    **{"*": "star", "!": "not", ":": "colon"},
}
"""Signs inside code and paths; any other is a pause between words."""
