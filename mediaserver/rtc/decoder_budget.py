"""Bounds the pixels of the videos of one network that are decoded at the same time."""

MAX_PIXELS_PER_NETWORK = 16_000_000
"""Seven screens of 1080 lines, or one of 5K: a decoder keeps some eight bytes of each pixel."""


class DecoderBudget:
    """Counts the pixels per frame of each video, by the network that sends it."""

    def __init__(self, per_network: int = MAX_PIXELS_PER_NETWORK):
        self.per_network = per_network
        self._networks: dict[str, dict[object, int]] = {}

    def claim(self, network: str, video: object, pixels: int) -> bool:
        """Count a video with the size of its newest key frame; False, and it is not counted, if that is too much."""
        self.release(network, video)
        videos = self._networks.get(network, {})
        if sum(videos.values()) + pixels > self.per_network:
            return False
        self._networks.setdefault(network, {})[video] = pixels
        return True

    def release(self, network: str, video: object) -> None:
        """Stop counting a video; it need not be counted."""
        videos = self._networks.get(network)
        if videos is not None and videos.pop(video, None) is not None and not videos:
            del self._networks[network]


DECODERS = DecoderBudget()
"""The budget of this process, whose memory all decoders share."""
