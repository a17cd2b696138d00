"""Device jobs: work that owns a GPU or all cores, in a process of its own and perhaps another Python."""

from infra.jobs.errors import DeviceCrash, DeviceError, DeviceHang, DeviceOutOfMemory, DeviceSetupError
from infra.jobs.group import JobGroup
from infra.jobs.process import QUIET, DeviceJob, Message, interpreter

__all__ = [
    "QUIET",
    "DeviceCrash",
    "DeviceError",
    "DeviceHang",
    "DeviceJob",
    "DeviceOutOfMemory",
    "DeviceSetupError",
    "JobGroup",
    "Message",
    "interpreter",
]
