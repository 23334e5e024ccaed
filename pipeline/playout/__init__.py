"""The assistant's speech on its way out: `speech_player` writes, `frame_clock` paces, `playout_buffer` queues."""
