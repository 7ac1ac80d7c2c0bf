"""Whether a caption is nothing but a file's name: 000.jpg, IMG_2031, 微信图片_20210301, a hash.

    is_file_name("DSC00012 (2)")           # True
    is_file_name("iPhone12手机壳")          # False: a model, not a counter

The authors of CogView and Wukong report them: alt texts that a camera, a chat program or an upload script wrote.
"""

import re

_ENDINGS = "jpe?g|jfif|png|gif|webp|bmp|tiff?|avif|heic|heif|svg|psd|raw|dng|cr2|nef|arw|ico|mp4|mov"

# What cameras, phones, chat programs and editors begin a name with; only counters, dates and copies may follow.
_MAKERS = (
    "IMG|IMAGE|IMAG|DSC|DSCN|DSCF|_DSC|DCIM|PXL|MVIMG|MTXX|VID|PIC|PICT|PHOTO|SAM|GOPR|GP|CIMG|WP|PANO|BURST|SCAN|"
    "SCREENSHOT|SCREEN ?SHOT|SNIPASTE|MMEXPORT|WX_CAMERA|WECHATIMG|HDIMG|TIM|UNTITLED|UNNAMED|DOWNLOAD|IMAGES|THUMB|"
    "微信图片|微信截图|微博图片|QQ图片|QQ截图|QQ浏览器截图|TIM图片|TIM截图|钉钉图片|企业微信截图|截图|截屏|屏幕截图|屏幕快照|"
    "捕获|图片|图像|照片|相片|影像|配图|插图|未标题|未命名|无标题|新建|下载|副本|扫描"
)
_COUNTER = (  # possessive, since a long run of digits could be cut in a million ways
    r"(?:[-_ .·]*+(?>[a-f0-9]{8,}+|\d[\d.]*+|\(\d+\)|（\d+）|[上下]午|x\d+|copy|at|[ap]m|副本|拷贝|编辑|edit|cover|hdr|"
    r"portrait|wa\d+))++"
)
_NAMES = tuple(
    re.compile(name, re.IGNORECASE)
    for name in (
        rf"[^，。！？；：“”\n]{{0,120}}\.(?:{_ENDINGS})(?:[!_@?][\w!@.=&-]*)?",  # with its ending
        rf"(?:{_MAKERS}){_COUNTER}",
        r"0\d{0,3}|\d{5,}(?:[-_]\d+)*|\d+(?:_\d+)+|\(\d+\)",  # numbers alone
        r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",  # a UUID
        r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,64}",  # a hash in hex
        r"(?=(?:[^\d]*\d){4})(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_!-]{20,}",  # a hash in other digits
    )
)
_MAY_BE_NAME = re.compile(r"[0-9.]")


def is_file_name(caption: str) -> bool:
    if not _MAY_BE_NAME.search(caption):
        return False
    return any(pattern.fullmatch(caption) for pattern in _NAMES)
