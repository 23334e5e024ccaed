"""Every test here must leave nothing behind."""

from tests.support.leak_check import no_rtc_leak

__all__ = ["no_rtc_leak"]
