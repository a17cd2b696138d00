"""Jobs that serve together: one failure ends all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from infra.jobs.process import DeviceJob


class JobGroup(list[DeviceJob]):
    """Running jobs; empty once they are ended."""

    @contextlib.contextmanager
    def ended_on_error(self) -> Iterator[None]:
        """Within it an error ends the jobs: an engine that failed once is not trusted with more work."""
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def close(self) -> None:
        """Let them finish what they do, then end them; their devices are free afterwards."""
        with contextlib.ExitStack() as stack:
            while self:
                stack.callback(self.pop().close)

    def kill(self) -> None:
        """End them now."""
        while self:
            self.pop().kill()
