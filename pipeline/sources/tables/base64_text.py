"""Pictures as base64 text, as tables and Chinese-CLIP's TSV hold them.

from_base64("_9j_4AAQ")                       # b"\\xff\\xd8\\xff\\xe0\\x00\\x10"
from_base64("data:image/png;base64,iVBORw0…")
from_base64("images/cat.jpg")                 # None: it is none

Both alphabets are read, line breaks and blanks are left out, and the `=` at the end may be missing.
"""

import base64
import binascii
import re

_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"
_DATA_ADDRESS = re.compile(rb"^data:[\w/+.-]*(;[\w=+-]*)*;base64,")


def from_base64(text: str | bytes) -> bytes | None:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if head := _DATA_ADDRESS.match(data[:200]):
        data = data[head.end() :]
    data = data.translate(_FROM_URL_SAFE, _BLANKS).rstrip(b"=")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True) or None
    except binascii.Error:
        return None
