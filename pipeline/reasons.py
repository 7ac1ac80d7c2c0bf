"""Every reason for which a pair is dropped, and its title: Chinese and English.

    title_of("too_small")     # "太小 · too small"
    title_of("http_404")      # "服务器答复 404 · the server answered 404"

One list for the report, the data card and whoever else names a reason to people; `pipeline/README.md` tells when
each is given. A reason that is not listed is its own title.
"""

REASONS: dict[str, str] = {
    # fetch
    "bad_address": "网址无效 · not an address that can be asked",
    "broken_row": "列表行损坏 · a broken row of the list",
    "dns_failed": "域名解析失败 · the host's name is not known",
    "connection_failed": "连接失败 · no connection",
    "proxy_failed": "代理失败 · refused by the proxy",
    "tls_failed": "证书或加密失败 · an unsound certificate or encryption",
    "timed_out": "超时 · not done before the deadline",
    "bad_answer": "回应无效 · the answer is not HTTP",
    "bad_redirect": "跳转无效 · redirected to no web address",
    "too_many_redirects": "跳转过多 · redirected too often",
    "private_address": "内网地址 · an address that is not public",
    "robots_disallowed": "robots.txt 不允许 · forbidden by robots.txt",
    "robots_unreachable": "robots.txt 无法读取 · robots.txt cannot be read",
    "robots_tag": "X-Robots-Tag 不允许 · forbidden by X-Robots-Tag",
    "host_asks_to_wait": "网站要求等待 · the host asks for too long a wait",
    "host_down": "网站无响应 · the host answers no more",
    "too_many_bytes": "文件过大 · too many bytes",
    "empty_body": "内容为空 · an empty answer",
    "cut_body": "传输中断 · an answer that ends too early",
    "bad_encoding": "编码无法解开 · compressed in a way that cannot be undone",
    "unforeseen": "未预料的错误 · an error that nobody thought of",
    # read
    "missing_picture": "有文无图 · a caption without its picture",
    "empty_file": "空文件 · an empty file",
    "not_a_picture": "不是图片 · not a picture",
    "svg": "矢量图 · SVG, not a raster picture",
    "unsupported_format": "格式不支持 · a format that is not read",
    "broken_header": "文件头损坏 · a broken header",
    "broken_pixels": "数据损坏 · broken pixel data",
    "truncated": "文件不完整 · a truncated file",
    "file_too_large": "文件过大 · a file larger than any picture",
    "too_many_pixels": "像素过多 · too many pixels",
    "decoder_crashed": "解码崩溃 · the decoder crashed",
    "decoder_hung": "解码超时 · the decoder hung",
    "too_much_memory": "内存不足 · too much memory",
    # picture
    "too_small": "太小 · too small",
    "too_long": "太窄长 · too long and narrow",
    "few_bytes": "字节太少 · too few bytes",
    "animated": "动图 · animated",
    "single_colour": "单色 · of a single colour",
    "low_std": "对比太弱 · too little contrast",
    "low_entropy": "信息太少 · too little detail",
    "blurred": "模糊 · blurred",
    "wide_border": "边框太宽 · too wide a border",
    "low_jpeg_quality": "压缩过度 · compressed too much",
    "unsafe": "不宜展示 · unsafe",
    # caption
    "no_caption": "没有描述 · no caption",
    "empty_caption": "描述为空 · an empty caption",
    "caption_too_short": "描述太短 · a caption too short",
    "caption_too_long": "描述太长 · a caption too long",
    "broken_text": "乱码 · broken text",
    "file_name": "只是文件名 · nothing but a file name",
    "boilerplate": "网页套话 · boilerplate of web pages",
    "repetitive": "重复啰嗦 · repeats itself",
    "too_little_han": "汉字占比太低 · too small a share of Chinese",
    "too_few_han": "汉字太少 · too few Chinese characters",
    "too_many_han": "汉字太多 · too many Chinese characters",
    "foreign_language": "外语 · another language",
    "too_few_words": "词太少 · too few words",
    "too_many_words": "词太多 · too many words",
    "no_noun": "没有名词 · too few nouns",
    "personal_data": "个人信息 · personal data",
    "word_list": "敏感词 · a word of the list",
    "caption_seen_too_often": "千篇一律 · said of too many pictures",
    # pair
    "unlike_caption": "图文不符 · picture and caption unlike",
    "too_like_caption": "图中是字 · picture and caption too alike",
    # evaluation, earlier, exact, near
    "same_caption": "描述相同 · the same caption",
    "same_bytes": "字节相同 · the same bytes",
    "same_pixels": "像素相同 · the same pixels",
    "near_picture": "近似 · nearly the same picture",
    "near_caption": "描述近似 · nearly the same caption",
    # choice
    "more_captions": "另有更好的描述 · its picture has better captions",
}

STAGES: dict[str, str] = {
    "fetch": "取",
    "read": "读",
    "picture": "图",
    "caption": "文",
    "pair": "配",
    "evaluation": "测",
    "earlier": "旧",
    "exact": "同",
    "near": "近",
    "choice": "选",
}  # one character for each stage of the funnel


def title_of(reason: str) -> str:
    status = reason.removeprefix("http_")
    if status != reason and status.isdigit():
        return f"服务器答复 {status} · the server answered {status}"
    return REASONS.get(reason, reason)
