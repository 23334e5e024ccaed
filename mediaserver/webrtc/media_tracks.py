"""The media of one peer: the microphone, the videos and the direction of each audio section."""

import time
from collections.abc import Mapping, Sequence

from aiortc import RTCRtpReceiver

from mediaserver.rtc.aiortc_patches.transceivers import allow_layers, codec_name, restrict_codecs
from mediaserver.rtc.inbound.audio_track import InboundAudioTrack
from mediaserver.rtc.inbound.preconnect_audio import PreConnectAudio
from mediaserver.rtc.inbound.track_readers import Source
from mediaserver.rtc.inbound.video_track import InboundVideoTrack, choose_screen
from mediaserver.rtc.peer_connection import PeerConnection
from mediaserver.rtc.sdp.codecs import G711
from mediaserver.rtc.sdp.offer import Section
from mediaserver.rtc.telephone_voice import TelephoneVoice
from mediaserver.rtc.voice_track import VoiceTrack
from pipeline.codecs.g711 import Law
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import ConversationPort, Peer


class MediaTracks:
    """Attaches the sections of an offer to the conversation, once the connection has applied that offer."""

    def __init__(
        self, peer: Peer, conversation: ConversationPort, connection: PeerConnection, sections: Sequence[Section]
    ):
        self._peer = peer
        self._conversation = conversation
        self._connection = connection
        self._sections = sections
        self._microphone: InboundAudioTrack | None = None
        self.audio = PreConnectAudio(
            on_chunk=lambda chunk: conversation.push_audio(peer, chunk), on_end=lambda: conversation.end_audio(peer)
        )
        self.videos: list[InboundVideoTrack] = []
        self.telephone: TelephoneVoice | None = None
        """Encodes the assistant's speech, where the client takes no Opus."""
        self._names: dict[str, str] = {}

    @property
    def sources(self) -> list[Source]:
        """The tracks to read from: every video, and the microphone if there is one."""
        return [*self.videos] if self._microphone is None else [*self.videos, self._microphone]

    def attach(self, speech: VoiceTrack, *, lull: float) -> None:
        """Assign the direction of every audio section, and attach the client's tracks.

        `lull`: seconds without microphone audio after which silence is fed.
        """
        microphone = next((section for section in self._audio_sections if section.sends), None)
        speaker = next((section for section in self._audio_sections if section.receives), None)
        for section in self._audio_sections:
            self._assign_direction(section, speech, sends=section is speaker, receives=section is microphone)
        if microphone is not None:
            self._microphone = self._inbound_audio(microphone, lull)
        self.videos = [
            self._inbound_video(section) for section in self._sections if section.kind == "video" and section.sends
        ]

    def choose_screen(self) -> str | None:
        """Decode the video that shows the screen and no other; returns its mid, or None without a screen."""
        screen = choose_screen((video.mid for video in self.videos), self._names)
        for video in self.videos:
            video.show(video.mid == screen)
        return screen

    def name(self, mids: Mapping[str, str]) -> None:
        """Apply the client's names of its videos, by mid; unknown mids are ignored."""
        before = next((video.mid for video in self.videos if video.is_shown), None)
        known = [video.mid for video in self.videos]
        self._names.update({mid: name for mid, name in mids.items() if mid in known})
        after = self.choose_screen()
        if before is not None and before != after:
            self._stop_screen_share()

    def on_ended(self, source: Source) -> None:
        """Report to the conversation that a track has ended."""
        if isinstance(source, InboundAudioTrack):
            self.audio.end()
        elif source.is_shown:
            self._stop_screen_share()

    @property
    def _audio_sections(self) -> list[Section]:
        return [section for section in self._sections if section.kind == "audio"]

    def _receiver(self, section: Section) -> RTCRtpReceiver:
        return self._connection.section(section.mid).receiver

    def _assign_direction(self, section: Section, speech: VoiceTrack, *, sends: bool, receives: bool) -> None:
        transceiver = self._connection.section(section.mid)
        restrict_codecs(transceiver, (codec_name(transceiver).lower(),))  # one for both directions
        if sends:
            codec = codec_name(transceiver).lower()
            if codec in G711:
                self.telephone = TelephoneVoice(Law(codec))
                speech.silence = self.telephone.silence
            transceiver.sender.replaceTrack(speech)
            transceiver.direction = "sendrecv" if receives else "sendonly"
        else:
            transceiver.direction = "recvonly" if receives else "inactive"

    def _inbound_audio(self, section: Section, lull: float) -> InboundAudioTrack:
        return InboundAudioTrack(
            self._receiver(section),
            codec=codec_name(self._connection.section(section.mid)).lower(),
            lull=lull,
            on_chunk=self._push_audio,
            on_fault=self._conversation.report_error,
        )

    def _inbound_video(self, section: Section) -> InboundVideoTrack:
        allow_layers(self._connection.section(section.mid), section.extensions)
        return InboundVideoTrack(
            section.mid,
            self._receiver(section),
            on_frame=self._push_frame,
            on_pause=self._stop_screen_share,
            on_fault=self._conversation.report_error,
            estimate=self._connection.estimate,
            parameter_sets=section.parameter_sets,
            repairs=section.repairs,
        )

    def _push_audio(self, chunk: AudioChunk) -> None:
        self.audio.push(chunk, time.monotonic())

    def _push_frame(self, frame: ScreenFrame) -> None:
        self._conversation.push_frame(self._peer, frame)

    def _stop_screen_share(self) -> None:
        self._conversation.stop_screen_share(self._peer)
