"""The two errors that are not bugs.

`BadInput`: what the user gave cannot be used (exit code 2).
`CheckFailed`: what was checked does not hold (exit code 1).
Each is one line that names the problem and ends with the cure:

    raise BadInput(f"{path}: no such recipe", cure="name a YAML file, or `emoji`")
"""


class TuwenError(Exception):
    exit_code: int

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem, cure)  # both as args, so that the error survives Ray's pickling
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.problem}; {self.cure}"


class BadInput(TuwenError):
    exit_code = 2


class CheckFailed(TuwenError):
    exit_code = 1
