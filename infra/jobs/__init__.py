"""Device jobs: work that owns a GPU or all cores, in a process of its own and perhaps another Python."""

from infra.jobs.errors import DeviceCrash, DeviceError, DeviceHang, DeviceOutOfMemory, DeviceSetupError
from infra.jobs.process import DeviceJob, JobGroup, Message, interpreter

__all__ = [
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
