"""Every frame of an utterance is heard, once or again, in its right place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.models.ctc_chunks import Grid, grid, next_chunk

WAV2VEC2 = grid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))


def through_the_convolutions(samples: int) -> int:
    """How many frames the layers leave, one after the other."""
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        samples = max(0, (samples - kernel) // stride + 1)
    return samples


def test_a_frame_of_wav2vec2_hears_25_ms_every_20() -> None:
    assert Grid(320, 400) == WAV2VEC2


@given(st.integers(0, 500_000))
def test_frames_are_those_that_the_convolutions_leave(samples: int) -> None:
    assert WAV2VEC2.frames(samples) == through_the_convolutions(samples)


@given(st.lists(st.integers(1, 20_000), max_size=12), st.integers(0, 60), st.integers(0, 16))
def test_chunks_cover_an_utterance_and_overlap_by_their_context(
    steps: list[int], left: int, right: int
) -> None:
    done = samples = 0
    for step in steps:
        samples += step
        chunk = next_chunk(done, samples, left, WAV2VEC2)
        assert chunk.first == done
        assert done + chunk.frames == max(done, WAV2VEC2.frames(samples))
        assert chunk.skip == min(done, left)
        assert 0 <= chunk.start <= chunk.end <= samples
        if chunk.frames:
            # the part by itself has exactly the frames of its context and what is wanted
            assert WAV2VEC2.frames(chunk.end - chunk.start) == chunk.skip + chunk.frames
            assert chunk.start == (chunk.first - chunk.skip) * WAV2VEC2.stride
        done = max(done, done + chunk.frames - right)
