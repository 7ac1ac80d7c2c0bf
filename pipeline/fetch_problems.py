"""Why a picture could not be had: a small fixed set of words, each with a title, and which of them may pass.

    raise Refused("too_many_bytes")
    problem_title("http_404")       # 网页返回错误码 404 · the server answered 404

A problem that may pass (`retriable`) is tried again in the same run, after a pause, and once more whenever the
command is given again; any other is a verdict, and stays.
"""

FETCH_PROBLEMS: dict[str, str] = {
    "bad_address": "网址缺失或无效 · no address, or none that can be asked",
    "broken_row": "列表中的坏行 · a row of the list that cannot be read",
    "dns_failed": "域名解析失败 · the host's name is not known",
    "connection_failed": "连接失败 · no connection, or it was reset",
    "proxy_failed": "代理失败 · the proxy did not let it through",
    "tls_failed": "证书或加密失败 · the certificate or the encryption is not sound",
    "timed_out": "超时 · not done before the deadline",
    "http_*": "网页返回错误码 · the server answered with this status",
    "bad_answer": "回应不是有效的 HTTP · the answer is not HTTP",
    "bad_redirect": "跳转地址无效 · it points on to what is no web address",
    "too_many_redirects": "跳转过多 · it points on and on",
    "private_address": "内网地址 · it leads to an address that is not public",
    "robots_disallowed": "robots.txt 不允许 · robots.txt forbids it",
    "robots_unreachable": "robots.txt 无法读取 · robots.txt could not be read, so nothing was asked",
    "robots_tag": "X-Robots-Tag 不允许 · the answer forbids this use",
    "host_asks_to_wait": "网站要求等待 · the host asks for more patience than a run has",
    "host_down": "网站无响应 · the host failed so often in a row that the rest was not asked",
    "too_many_bytes": "文件过大 · more bytes than fetch.max_bytes",
    "empty_body": "内容为空 · an answer without content",
    "cut_body": "内容不完整 · the connection ended before the picture did",
    "bad_encoding": "内容编码无法解开 · compressed in a way that cannot be undone",
    "not_a_picture": "不是图片 · the content is no picture, whatever it is called",
    "unsupported_format": "不支持的图片格式 · a picture in a format that is not read here",
    "unforeseen": "未预料的错误 · something that nobody thought of; see the ledger",
}

_MAY_PASS = frozenset(
    {"connection_failed", "proxy_failed", "timed_out", "robots_unreachable", "host_asks_to_wait", "host_down",
     "cut_body", "unforeseen"}
)  # fmt: skip
_SETTLED = frozenset({"host_asks_to_wait", "host_down"})
_STATUS_MAY_PASS = frozenset({408, 425, 429})


class Refused(Exception):
    """A picture that was not had: one word of FETCH_PROBLEMS, and what a person who looks for the cause needs."""

    def __init__(self, problem: str, detail: str = "", *, status: int | None = None, retriable: bool | None = None):
        super().__init__(problem)
        self.problem, self.detail, self.status = problem, detail[:300], status
        self.retriable = problem in _MAY_PASS if retriable is None else retriable
        self.retry_after: float | None = None  # seconds, as the server asked
        self.settled = problem in _SETTLED  # may pass, but not in this run

    def again(self) -> "Refused":
        """A fresh one: an exception that is raised ten thousand times drags ten thousand tracebacks."""
        fresh = Refused(self.problem, self.detail, status=self.status, retriable=self.retriable)
        fresh.settled = self.settled
        return fresh


def refused_by_status(status: int) -> Refused:
    return Refused(f"http_{status}", status=status, retriable=status in _STATUS_MAY_PASS or status // 100 == 5)


def problem_title(problem: str) -> str:
    status = problem.removeprefix("http_")
    if status.isdigit():
        return f"网页返回错误码 {status} · the server answered {status}"
    return FETCH_PROBLEMS.get(problem, problem)
