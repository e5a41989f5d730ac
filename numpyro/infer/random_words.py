# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Random numbers from few calls of the generator.

Each call of ``jax.random`` costs some 50 ms of compilation, and within a trajectory more time than the leapfrog step
that it serves. So an iteration draws all its random words at once, and everything else is made of them.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.handlers import seed

__all__ = [
    "below",
    "cheaply_seeded",
    "derived_key",
    "exponential",
    "gumbel",
    "hashed_uniform",
    "hashed_words",
    "key_data",
    "next_words",
    "normal",
    "seed_of",
    "uniform",
]

_GOLDEN = 0x9E3779B9


def next_words(key: Any, count: int) -> tuple[Any, jax.Array]:
    """The key to go on with, and ``count`` random words of 32 bits.

    >>> key, words = next_words(jax.random.key(0), 5)
    >>> key.dtype, words.shape, words.dtype
    (key<fry>, (5,), dtype('uint32'))
    """
    size = np.prod(jax.eval_shape(key_data, key).shape, dtype=int)
    words = _bits(key, size + count)
    return _key_of(key, words[:size]), words[size:]


_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)


def _bits(key: Any, count: int) -> jax.Array:
    """``jax.random.bits(key, (count,), jnp.uint32)``.

    That is a loop of five rounds for the usual keys, and eleven pieces of code to compile; as one expression it is one.
    The generator is Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw 2011, *Parallel Random Numbers: As Easy
    as 1, 2, 3*) on the numbers of the words.
    """
    if not _is_threefry(key):
        return jax.random.bits(key, (count,), jnp.uint32)
    data = key_data(key)
    keys = data[0], data[1], data[0] ^ data[1] ^ np.uint32(0x1BD11BDA)
    a, b = keys[0], lax.iota(jnp.uint32, count) + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            a = a + b
            b = (b << rotation | b >> (32 - rotation)) ^ a
        a = a + keys[(group + 1) % 3]
        b = b + keys[(group + 2) % 3] + np.uint32(group + 1)
    return a ^ b


def _is_threefry(key: Any) -> bool:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return str(jax.random.key_impl(key)) == "threefry2x32"
    return jax.config.jax_default_prng_impl == "threefry2x32"  # type: ignore[attr-defined]


def derived_key(key: Any, number: Any) -> Any:
    """A random key for each number, at the price of a few integer operations.

    The words of the hashed number are added to those of the key and the sums are scrambled, so that keys derived from
    derived keys differ by the order of the numbers too. The generators behind ``jax.random`` are made so that streams
    of different keys are independent however little the keys differ.
    """
    data = key_data(key)
    lanes = np.arange(1, data.size + 1, dtype=np.uint32) * np.uint32(_GOLDEN)
    if isinstance(number, int):
        number = np.full(data.shape, number & 0xFFFFFFFF, np.uint32)
    hashed = _scramble(_scramble(number.astype(np.uint32) + np.uint32(1)) + lanes.reshape(data.shape))
    return _key_of(key, _scramble(data + hashed))


class cheaply_seeded(seed):
    """:class:`~numpyro.handlers.seed` by :func:`derived_key`: what is compiled calls the generator for draws only."""

    def _split(self, rng_key: Any) -> Any:
        return derived_key(rng_key, 0), derived_key(rng_key, 1)


def key_data(key: Any) -> jax.Array:
    """The words of a random key, new or old style."""
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key


def _key_of(prototype: Any, words: jax.Array) -> Any:
    """A random key of the same kind as ``prototype``."""
    if jnp.issubdtype(prototype.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(prototype))
    return words


def normal(words: jax.Array, dtype: Any) -> jax.Array:
    """Standard normal numbers: the quantile function at the centres of ``2^23`` cells, in double precision ``2^31``."""
    return (np.sqrt(2) * lax.erf_inv(2 * _centres(words, dtype) - 1)).astype(dtype)


def gumbel(words: jax.Array, dtype: Any) -> jax.Array:
    """Numbers with the standard Gumbel distribution: the quantile function at the same centres."""
    return -jnp.log(-jnp.log(_centres(words, dtype)))


def _centres(words: jax.Array, dtype: Any) -> jax.Array:
    """Centres of ``2^23`` cells of ``(0, 1)``, in double precision ``2^31``."""
    bits = 23 if jnp.finfo(dtype).bits == 32 else 31
    return ((words >> (32 - bits)) << 1 | 1).astype(dtype) * 2.0 ** -(bits + 1)


def uniform(words: jax.Array, dtype: Any) -> jax.Array:
    """Uniform numbers in ``[0, 1)``, multiples of ``2^-24``."""
    return (words >> 8).astype(dtype) * 2.0**-24


def below(words: jax.Array, count: Any) -> jax.Array:
    """Whole numbers from 0 to ``count - 1``. Their probabilities differ by one part in ``2^32 / count``."""
    return (words % jnp.asarray(count).astype(jnp.uint32)).astype(jnp.int32)


def exponential(words: jax.Array, dtype: Any) -> jax.Array:
    """Numbers with the standard exponential distribution."""
    return -jnp.log1p(-uniform(words, dtype))


def hashed_words(seed: jax.Array, counter: jax.Array) -> jax.Array:
    """Random words that depend on two random words and a counter.

    Two rounds of MurmurHash3's finaliser (Appleby, *SMHasher*).
    """
    word = _scramble(seed[0] ^ (counter.astype(jnp.uint32) * jnp.uint32(_GOLDEN)))
    return _scramble(word + seed[1])


def hashed_uniform(seed: jax.Array, counter: jax.Array, dtype: Any) -> jax.Array:
    """Uniform numbers in ``[0, 1)``, made of :func:`hashed_words`."""
    return uniform(hashed_words(seed, counter), dtype)


def seed_of(key: Any) -> jax.Array:
    """Two words of a random key, for :func:`hashed_words`."""
    return key_data(key).reshape(-1)[-2:]


def _scramble(word: Any) -> Any:
    """Of an array of NumPy or of JAX."""
    word = (word ^ (word >> 16)) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * np.uint32(0xC2B2AE35)
    return word ^ (word >> 16)
