# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The statements of a model, with and without handlers around them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.handlers import block, condition, mask, scale, seed, substitute, trace
from numpyro.primitives import (
    CondIndepStackFrame,
    Messenger,
    apply_stack,
    default_process_message,
    forward,
    has_handlers,
    mutable,
)


def sites(model, *args, rng_seed=0):
    return trace(seed(model, rng_seed=rng_seed)).get_trace(*args)


def normal(name, **kwargs):
    return numpyro.sample(name, dist.Normal(0.0, 1.0), **kwargs)


# The stack


class Log(Messenger):
    def __init__(self, fn=None, log=None, name="", stop=False):
        self.log, self.name, self.stop = log, name, stop
        super().__init__(fn)

    def process_message(self, msg):
        self.log.append(f"{self.name} out")
        if self.stop:
            msg["stop"] = True

    def postprocess_message(self, msg):
        self.log.append(f"{self.name} in")


@pytest.mark.parametrize(
    "stop, expected",
    [
        (None, ["a out", "b out", "c out", "c in", "b in", "a in"]),
        ("b", ["a out", "b out", "b in", "a in"]),
        ("a", ["a out", "a in"]),
    ],
)
def test_a_message_goes_outward_until_it_is_stopped_and_comes_back_the_same_way(stop, expected):
    log = []
    with (
        Log(log=log, name="c"),
        Log(log=log, name="b", stop=stop == "b"),
        Log(log=log, name="a", stop=stop == "a"),
    ):
        numpyro.deterministic("x", 1.0)
    assert log == expected
    assert not has_handlers()


def test_a_forwarded_message_is_seen_by_the_handlers_outside_only():
    log = []

    class Repeat(Messenger):
        def process_message(self, msg):
            forward({**msg, "name": "copy"}, self)

    with trace() as outside, Log(log=log, name="outer"), Repeat(), Log(log=log, name="inner"):
        numpyro.deterministic("x", 1.0)
    assert list(outside) == ["copy", "x"]
    assert log == ["inner out", "outer out", "outer in", "outer out", "outer in", "inner in"]


def test_an_error_in_a_model_leaves_no_handler_behind():
    def model():
        normal("x")
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"), numpyro.plate("N", 2):
        sites(model)
    assert not has_handlers()


def test_a_plate_that_was_entered_by_hand_goes_with_the_handler_around_it():
    with pytest.raises(RuntimeError), trace():
        numpyro.plate("N", 3).__enter__()
        raise RuntimeError
    assert not has_handlers()


def test_a_handler_wraps_any_number_of_functions():
    twice = scale(scale=2.0)
    first, second = twice(lambda: normal("a", obs=0.0)), twice(lambda: normal("b", obs=0.0))
    assert list(trace(first).get_trace()) == ["a"] and list(trace(second).get_trace()) == ["b"]


def test_a_wrapped_model_keeps_its_name_and_doc():
    def model():
        """Says something."""

    wrapped = seed(model, rng_seed=0)
    assert (wrapped.__name__, wrapped.__doc__) == ("model", "Says something.")


@pytest.mark.parametrize("make", [Messenger, lambda fn: trace(fn), lambda fn: scale(fn, scale=2.0)])
def test_a_handler_refuses_what_it_cannot_wrap(make):
    with pytest.raises(ValueError, match="must be a function"):
        make({"x": 1.0})


def test_a_handler_without_function_cannot_be_called_like_a_model():
    with pytest.raises(TypeError, match="wraps no function"):
        seed(rng_seed=0)(1.0, 2.0)


def test_users_may_send_messages_of_their_own_types():
    class Double(Messenger):
        def process_message(self, msg):
            if msg["type"] == "answer":
                msg["args"] = (2 * msg["args"][0],)

    def ask():
        message = {"type": "answer", "name": "n", "fn": lambda x: x + 1, "args": (20,), "kwargs": {}, "value": None}
        return apply_stack(message)["value"]

    assert ask() == 21
    assert Double(ask)() == 41
    msg = {"type": "answer", "name": "n", "fn": lambda x: x, "args": (7,), "kwargs": {}, "value": None}
    default_process_message(msg)
    assert msg["value"] == 7


# Outside handlers


def test_statements_without_handlers():
    key = jax.random.key(3)
    d = dist.Normal(jnp.zeros(2), 1.0)
    np.testing.assert_array_equal(
        numpyro.sample("x", d, rng_key=key, sample_shape=(4,)), d.sample(key, sample_shape=(4,))
    )
    assert numpyro.sample("x", d, obs=3.0) == 3.0
    assert numpyro.param("p", 2.0) == 2.0
    assert numpyro.param("p") is None
    assert numpyro.deterministic("d", 1.5) == 1.5
    assert numpyro.factor("f", 1.0) is None
    assert numpyro.prng_key() is None
    assert numpyro.get_mask() is None
    assert mutable("m", {"a": 1}) == {"a": 1}
    np.testing.assert_array_equal(numpyro.subsample(jnp.arange(3), event_dim=0), np.arange(3))
    with numpyro.plate("N", 3) as index:
        np.testing.assert_array_equal(index, [0, 1, 2])


# sample


def test_a_sample_message_holds_what_the_architecture_says():
    site = sites(lambda: normal("x", infer={"hint": 1}))["x"]
    assert set(site) == {
        *("type", "name", "fn", "args", "kwargs", "value", "scale"),
        *("is_observed", "intermediates", "cond_indep_stack", "infer"),
    }
    assert (site["type"], site["scale"], site["is_observed"], site["infer"]) == ("sample", None, False, {"hint": 1})
    assert site["kwargs"]["sample_shape"] == () and site["kwargs"]["rng_key"] is not None


def test_infer_is_not_shared_between_runs():
    infer = {}
    sites(lambda: normal("x", infer=infer))["x"]["infer"]["changed"] = True
    assert infer == {}


def test_a_key_of_its_own_wins_over_seed():
    key = jax.random.key(7)
    first, second = (sites(lambda: normal("x", rng_key=key), rng_seed=s)["x"]["value"] for s in (0, 1))
    assert first == second == dist.Normal(0.0, 1.0).sample(key)


@pytest.mark.parametrize("handler", [lambda f: f, trace, block], ids=["bare", "trace", "block"])
def test_a_missing_key_is_an_error_that_names_the_site(handler):
    with pytest.raises(ValueError, match=r"Site 'weight' .* no random key.*seed\(model"):
        handler(lambda: normal("weight"))()


def test_a_point_mass_needs_no_key():
    assert numpyro.sample("x", dist.Delta(2.0)) == 2.0
    assert trace(lambda: numpyro.sample("x", dist.Delta(2.0))).get_trace()["x"]["value"] == 2.0


@pytest.mark.parametrize(
    "fn, match",
    [
        (dist.Normal, r"'x'.*class Normal, not an instance"),
        (lambda: 0, "'x'.*must be a .*Distribution"),
        (1.0, "float"),
    ],
)
def test_what_is_no_distribution_is_refused(fn, match):
    with pytest.raises(TypeError, match=match):
        numpyro.sample("x", fn, rng_key=jax.random.key(0))
    with pytest.raises(TypeError, match=match):
        sites(lambda: numpyro.sample("x", fn))


def test_sample_shape_stands_left_of_the_batch():
    site = sites(lambda: numpyro.sample("x", dist.Normal(jnp.zeros(2), 1.0), sample_shape=(3,)))["x"]
    assert (site["fn"].batch_shape, site["value"].shape) == ((2,), (3, 2))


def test_sample_shape_and_plate_broadcast():
    def model():
        with numpyro.plate("N", 3, dim=-2):
            numpyro.sample("x", dist.Normal(jnp.zeros(2), 1.0), sample_shape=(3,))

    assert sites(model)["x"]["value"].shape == (3, 2)


def test_nested_lists_are_observations_too():
    assert sites(lambda: normal("x", obs=[1.0, 2.0]))["x"]["value"].shape == (2,)
    mixed = sites(lambda: normal("x", obs=[1.0, jnp.array(2.0)]))["x"]["value"]
    np.testing.assert_array_equal(mixed, [1.0, 2.0])


# Partly observed


@pytest.fixture
def partly_observed():
    def model():
        with numpyro.plate("N", 3):
            return numpyro.sample(
                "y", dist.Normal(1.0, 2.0), obs=jnp.array([5.0, jnp.nan, 6.0]), obs_mask=jnp.array([True, False, True])
            )

    return model


def test_obs_mask_splits_a_site_and_merges_its_values(partly_observed):
    found = sites(partly_observed)
    assert {name: site["type"] for name, site in found.items()} == {
        "N": "plate",
        "y_observed": "sample",
        "y_unobserved": "sample",
        "y": "deterministic",
    }
    assert found["y_observed"]["is_observed"] and not found["y_unobserved"]["is_observed"]
    np.testing.assert_array_equal(found["y"]["value"][jnp.array([0, 2])], [5.0, 6.0])
    assert found["y"]["value"][1] == found["y_unobserved"]["value"][1]
    np.testing.assert_array_equal(seed(partly_observed, rng_seed=0)(), found["y"]["value"])


def test_obs_mask_counts_each_density_once(partly_observed):
    found = sites(partly_observed)
    d, y = dist.Normal(1.0, 2.0), found["y"]["value"]
    split = [site["fn"].log_prob(site["value"]) for site in found.values() if site["type"] == "sample"]
    np.testing.assert_allclose(sum(split), d.log_prob(y), rtol=1e-6)
    np.testing.assert_array_equal(split[0] == 0, [False, True, False])


def test_obs_mask_holds_for_whole_events():
    obs = jnp.ones((2, 3))

    def model():
        d = dist.Normal(jnp.zeros((2, 3)), 1.0).to_event(1)
        return numpyro.sample("y", d, obs=obs, obs_mask=jnp.array([True, False]))

    y = seed(model, rng_seed=0)()
    np.testing.assert_array_equal(jnp.all(y == obs, axis=-1), [True, False])


@pytest.mark.parametrize("flag", [True, False])
def test_obs_mask_may_be_one_boolean(flag):
    y = seed(lambda: normal("y", obs=jnp.array(9.0), obs_mask=flag), rng_seed=0)()
    assert bool(y == 9.0) == flag


def test_obs_mask_must_be_boolean():
    with pytest.raises(ValueError, match="'y': obs_mask must be a boolean array"):
        normal("y", obs=jnp.zeros(2), obs_mask=jnp.array([1, 0]))


# Shapes that cannot be


def under_plates(make_site, *plates):
    def model():
        contexts = [numpyro.plate(name, size, dim=dim) for name, size, dim in plates]
        for context in contexts:
            context.__enter__()
        try:
            make_site()
        finally:
            for context in reversed(contexts):
                context.__exit__(None, None, None)

    return model


CONFLICTS = {
    "batch against plate": (
        under_plates(lambda: numpyro.sample("y", dist.Normal(jnp.zeros(3), 1.0)), ("rows", 5, -1)),
        ["'y'", "'rows' of size 5 at dim -1", "batch shape (3,)", "event shape ()", ".to_event(1)"],
    ),
    "batch against the outer plate": (
        under_plates(
            lambda: numpyro.sample("y", dist.Normal(jnp.zeros((4, 2)), 1.0)), ("rows", 3, -2), ("columns", 2, -1)
        ),
        ["'y'", "'rows' of size 3 at dim -2", "'columns' of size 2 at dim -1", "batch shape (4, 2)", ".to_event(2)"],
    ),
    "observation against plate": (
        under_plates(lambda: normal("y", obs=jnp.zeros(3)), ("rows", 5, -1)),
        ["'y'", "'rows' of size 5 at dim -1", "batch shape (5,)", "event shape ()", "value shape (3,)"],
    ),
    "observation against event": (
        lambda: numpyro.sample("y", dist.Normal(jnp.zeros(3), 1.0).to_event(1), obs=jnp.zeros(2)),
        ["'y'", "no plate", "batch shape ()", "event shape (3,)", "value shape (2,)"],
    ),
    "observation with too few dimensions": (
        lambda: numpyro.sample("y", dist.Normal(jnp.zeros(3), 1.0).to_event(1), obs=0.0),
        ["'y'", "event shape (3,)", "value shape ()", "fewer dimensions"],
    ),
    "observation against batch": (
        lambda: numpyro.sample("y", dist.Normal(jnp.zeros(3), 1.0), obs=jnp.zeros(4)),
        ["'y'", "batch shape (3,)", "value shape (4,)"],
    ),
    "substituted value": (
        substitute(under_plates(lambda: normal("y"), ("rows", 5, -1)), data={"y": jnp.zeros(4)}),
        ["'y'", "'rows' of size 5 at dim -1", "value shape (4,)"],
    ),
    "conditioned value": (
        condition(
            lambda: numpyro.sample("y", dist.Normal(jnp.zeros(3), 1.0).to_event(1)), data={"y": jnp.zeros((3, 2))}
        ),
        ["'y'", "event shape (3,)", "value shape (3, 2)"],
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_a_shape_conflict_names_site_plates_and_shapes(case):
    model, parts = CONFLICTS[case]
    with pytest.raises(ValueError) as error:
        sites(model)
    missing = [part for part in parts if part not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


def test_a_conflict_is_found_without_handlers_too():
    with pytest.raises(ValueError, match=r"Site 'y' .*value shape \(2,\)"):
        numpyro.sample("y", dist.Normal(jnp.zeros(3), 1.0), obs=jnp.zeros(2))


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 5)])
def test_values_that_broadcast_are_fine(shape):
    model = under_plates(lambda: normal("y", obs=jnp.zeros(shape)), ("rows", 5, -1))
    site = sites(model)["y"]
    assert (site["fn"].batch_shape, site["value"].shape) == ((5,), shape)


def test_batch_dimensions_without_a_plate_are_fine():
    model = under_plates(lambda: numpyro.sample("y", dist.Normal(jnp.zeros((4, 1)), 1.0)), ("rows", 3, -1))
    assert sites(model)["y"]["value"].shape == (4, 3)


# plate


def test_plates_take_dims_from_the_right():
    def model():
        with numpyro.plate("a", 3), numpyro.plate("b", 4):
            normal("x")
        with numpyro.plate("c", 2):
            normal("y")

    found = sites(model)
    assert found["x"]["cond_indep_stack"] == [CondIndepStackFrame("b", -2, 4), CondIndepStackFrame("a", -1, 3)]
    assert found["x"]["value"].shape == (4, 3) and found["y"]["value"].shape == (2,)


def test_plates_leave_dims_that_are_taken():
    def model():
        with numpyro.plate("a", 3, dim=-2), numpyro.plate("b", 4), numpyro.plate("c", 5):
            normal("x")

    assert sites(model)["x"]["value"].shape == (5, 3, 4)


def test_plates_made_beforehand_find_their_dims_when_they_are_entered():
    def model():
        rows, columns = numpyro.plate("rows", 3), numpyro.plate("columns", 4)
        with rows, columns:
            normal("x")
        with columns:
            normal("y")

    found = sites(model)
    assert found["x"]["value"].shape == (4, 3)
    assert found["y"]["value"].shape == (4, 1)


def test_a_plate_can_be_entered_again_and_is_one_site():
    def model():
        rows = numpyro.plate("rows", 3)
        with rows:
            normal("x")
        with rows:
            normal("y")

    found = sites(model)
    assert list(found) == ["rows", "x", "y"] and found["y"]["value"].shape == (3,)


def test_plate_as_decorator():
    @numpyro.plate("rows", 3)
    def model():
        return normal("x")

    def nested():
        with numpyro.plate("columns", 4):
            return model()

    assert seed(model, rng_seed=0)().shape == (3,)
    assert seed(nested, rng_seed=0)().shape == (3, 4)
    assert seed(model, rng_seed=0)().shape == (3,)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: numpyro.plate("N", 0), "plate 'N': its size must be positive"),
        (lambda: numpyro.plate("N", 3, dim=0), "plate 'N': dim must be negative"),
        (lambda: numpyro.plate("N", 3, subsample_size=5), "between 1 and 3, but it is 5"),
        (lambda: numpyro.plate("N", 3, subsample_size=0), "between 1 and 3, but it is 0"),
        (lambda: numpyro.plate("N", 3, subsample_size=2), "size 3 has to draw 2 indices.*no random key"),
        (lambda: numpyro.plate_stack("N", [2], rightmost_dim=0).__enter__(), "rightmost_dim must be negative"),
        (lambda: numpyro.subsample(jnp.zeros(3), event_dim=-1), "must not be negative"),
    ],
)
def test_impossible_plates(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_plates_at_the_same_dim_collide():
    def model():
        with numpyro.plate("a", 3, dim=-1), numpyro.plate("b", 3, dim=-1):
            normal("x")

    with pytest.raises(ValueError, match="plate 'b' and plate 'a' around it are both at dim -1"):
        sites(model)


def test_plates_that_come_together_later_collide_at_the_site():
    def model():
        a, b = numpyro.plate("a", 3, dim=-1), numpyro.plate("b", 3, dim=-1)
        with a, b:
            normal("x")

    with pytest.raises(ValueError, match="Site 'x': plate 'b' and plate 'a' around it are both at dim -1"):
        sites(model)


def test_a_plate_inside_one_of_the_same_name():
    def model():
        with numpyro.plate("a", 3), numpyro.plate("a", 3):
            normal("x")

    with pytest.raises(ValueError, match="plate 'a' stands inside a plate of the same name"):
        sites(model)


def test_a_plate_name_stands_for_one_size():
    def model(size):
        with numpyro.plate("a", 3):
            normal("x")
        with numpyro.plate("a", size):
            normal("y")

    assert list(sites(model, 3)) == ["a", "x", "y"]
    with pytest.raises(ValueError, match="plate 'a' appears twice, first with size 3, then with size 4"):
        sites(model, 4)


def test_a_distribution_that_has_the_plate_already_is_left_as_it_is():
    d = dist.Normal(jnp.zeros(3), 1.0)

    def model():
        with numpyro.plate("a", 3):
            numpyro.sample("x", d)

    assert sites(model)["x"]["fn"] is d


def test_an_unhidden_plate_outside_a_block_does_not_reach_inside():
    def model():
        with numpyro.plate("a", 3), block(), numpyro.plate("b", 4):
            return normal("x")

    assert seed(model, rng_seed=0)().shape == (4,)


def test_plate_stack():
    def model():
        with numpyro.plate_stack("grid", [2, 3, 4], rightmost_dim=-2):
            numpyro.sample("x", dist.Normal(jnp.zeros(5), 1.0))

    found = sites(model)
    assert found["x"]["value"].shape == (2, 3, 4, 5)
    assert [f"{f.name} {f.dim} {f.size}" for f in reversed(found["x"]["cond_indep_stack"])] == [
        "grid_0 -2 4",
        "grid_1 -3 3",
        "grid_2 -4 2",
    ]


# Subsampling


def subsampled(data):
    with numpyro.plate("N", 10, subsample_size=4) as index:
        batch = numpyro.subsample(data, event_dim=1)
        numpyro.deterministic("w_batch", numpyro.param("w", jnp.arange(10.0), event_dim=0))
        numpyro.deterministic("shared_batch", numpyro.param("shared", jnp.zeros((1, 3)), event_dim=1))
        numpyro.deterministic("whole", numpyro.param("no_event_dim", jnp.zeros(10)))
        normal("x")
        numpyro.factor("f", 1.0)
        numpyro.deterministic("d", batch)
        return index, batch


def test_indices_are_drawn_without_replacement():
    index, batch = seed(subsampled, rng_seed=0)(jnp.zeros((10, 3)))
    assert index.shape == (4,) and len(set(index.tolist())) == 4 and set(index.tolist()) <= set(range(10))
    other, _ = seed(subsampled, rng_seed=1)(jnp.zeros((10, 3)))
    assert index.tolist() != other.tolist()
    assert batch.shape == (4, 3)


def test_each_index_is_equally_likely():
    def indices(key):
        with seed(rng_seed=key), numpyro.plate("N", 5, subsample_size=2) as index:
            return index

    drawn = jax.jit(jax.vmap(indices))(jax.random.split(jax.random.key(0), 4000))
    share = np.bincount(np.asarray(drawn).ravel(), minlength=5) / drawn.size
    # Standard error of a share: sqrt(0.4 * 0.6 / 4000) / 2 = 0.0039.
    np.testing.assert_allclose(share, 0.2, atol=0.016)


def test_subsampling_scales_densities_and_indexes_data_and_parameters():
    data = jnp.arange(30.0).reshape(10, 3)
    found = sites(subsampled, data)
    index = found["N"]["value"]
    np.testing.assert_array_equal(found["d"]["value"], data[index])
    np.testing.assert_array_equal(found["w"]["value"], np.arange(10))
    np.testing.assert_array_equal(found["w_batch"]["value"], index)
    assert found["shared_batch"]["value"].shape == (1, 3) and found["whole"]["value"].shape == (10,)
    assert {name: found[name]["scale"] for name in ("x", "f", "w", "d")} == {"x": 2.5, "f": 2.5, "w": 2.5, "d": None}
    assert found["x"]["value"].shape == (4,)
    assert found["x"]["cond_indep_stack"] == [CondIndepStackFrame("N", -1, 4)]
    assert found["N"]["args"] == (10, 4)


def test_indices_can_be_substituted():
    index, batch = substitute(seed(subsampled, rng_seed=0), data={"N": jnp.array([1, 9, 0, 2])})(
        jnp.arange(30.0).reshape(10, 3)
    )
    assert index.tolist() == [1, 9, 0, 2]
    np.testing.assert_array_equal(batch[:, 0], [3.0, 27.0, 0.0, 6.0])


def test_as_many_indices_as_are_substituted():
    def model():
        with numpyro.plate("N", 10, subsample_size=4):
            normal("x")

    site = substitute(seed(model, rng_seed=0), data={"N": jnp.array([3, 4])})
    x = trace(site).get_trace()["x"]
    assert x["value"].shape == (2,) and x["scale"] == 5.0


def test_two_subsampling_plates_index_both_dims():
    def model():
        with (
            numpyro.plate("rows", 6, subsample_size=2, dim=-2) as i,
            numpyro.plate("columns", 5, subsample_size=3) as j,
        ):
            shapes = [(6, 5), (1, 5), (6, 1), (5,), ()]
            parts = [numpyro.subsample(jnp.zeros(shape), event_dim=0).shape for shape in shapes]
            table = jnp.arange(30.0).reshape(6, 5)
            assert parts == [(2, 3), (1, 3), (2, 1), (3,), ()]
            np.testing.assert_array_equal(numpyro.subsample(table, event_dim=0), table[i][:, j])
            normal("x")

    assert sites(model)["x"]["scale"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    "statement, match",
    [
        (lambda: numpyro.subsample(jnp.zeros((3, 2)), event_dim=1), r"subsample\(...\) of shape \(3, 2\) .* plate 'N'"),
        (lambda: numpyro.param("w", jnp.zeros((3, 2)), event_dim=1), r"param 'w' of shape \(3, 2\) .* size 10 or 1"),
    ],
)
def test_full_data_must_have_the_size_of_the_plate(statement, match):
    def model():
        with numpyro.plate("N", 10, subsample_size=4):
            statement()

    with pytest.raises(ValueError, match=match):
        sites(model)


# Other statements under plates


def test_deterministic_records_the_plate_and_changes_nothing():
    def model():
        with numpyro.plate("N", 3):
            return numpyro.deterministic("d", 2.0)

    found = sites(model)
    assert found["d"]["value"] == 2.0
    assert found["d"]["cond_indep_stack"] == [CondIndepStackFrame("N", -1, 3)]


def test_factor_has_one_term_for_each_index():
    def model():
        numpyro.factor("once", -2.0)
        with numpyro.plate("N", 3):
            numpyro.factor("each", -2.0)
            numpyro.factor("given", -jnp.arange(3.0))

    terms = {
        name: site["fn"].log_prob(site["value"]) for name, site in sites(model).items() if site["type"] == "sample"
    }
    assert terms["once"] == -2.0
    np.testing.assert_array_equal(terms["each"], [-2.0, -2.0, -2.0])
    np.testing.assert_array_equal(terms["given"], [0.0, -1.0, -2.0])
    site = sites(model)["once"]
    assert site["is_observed"] and site["infer"] == {"is_auxiliary": True}


# param, module, mutable, keys, masks


def test_param_may_be_initialised_by_a_function_of_a_key():
    def model():
        return numpyro.param("w", lambda key: jax.random.normal(key, (3,)), constraint=dist.constraints.real)

    site = sites(model)["w"]
    assert site["value"].shape == (3,) and site["kwargs"] == {"constraint": dist.constraints.real}
    with pytest.raises(ValueError, match="param 'w' is a function of a random key"):
        model()


def test_param_may_be_read_again():
    found = sites(lambda: [numpyro.param("w", 1.0), numpyro.param("w", 1.0)])
    assert list(found) == ["w"]


def network():
    def init(rng_key, input_shape):
        return input_shape, {"w": jax.random.normal(rng_key, input_shape)}

    return init, lambda params, x: params["w"] * x


def test_module_registers_its_parameters_as_one_site():
    def model(x, input_shape=None):
        return numpyro.module("net", network(), input_shape=input_shape)(x)

    found = sites(model, jnp.ones(2), (2,))
    assert list(found) == ["net$params"] and found["net$params"]["type"] == "param"
    given = substitute(model, data={"net$params": {"w": jnp.array([2.0, 3.0])}})
    np.testing.assert_array_equal(given(jnp.ones(2)), [2.0, 3.0])
    with pytest.raises(ValueError, match="module 'net' has to initialise its parameters, but input_shape is None"):
        sites(model, jnp.ones(2))
    with pytest.raises(ValueError, match="module 'net' is a function of a random key"):
        model(jnp.ones(2), (2,))


def test_mutable_state_is_what_it_has_become():
    def model():
        state = mutable("state", {"count": 0})
        state["count"] += 1

    assert sites(model)["state"]["value"] == {"count": 1}
    kept = {"count": 5}
    substitute(model, data={"state": kept})()
    assert kept == {"count": 6}


def test_each_prng_key_is_another():
    def model():
        return jnp.stack([jax.random.key_data(numpyro.prng_key()) for _ in range(3)])

    keys = seed(model, rng_seed=0)()
    assert len(np.unique(keys, axis=0)) == 3
    assert sites(model) == {}


def test_get_mask_is_the_conjunction_of_the_masks_around():
    with mask(mask=jnp.array([True, True, False])), mask(mask=jnp.array([True, False, True])):
        np.testing.assert_array_equal(numpyro.get_mask(), [True, False, False])
        with mask(mask=False):
            assert not np.any(numpyro.get_mask())
        with block():
            assert numpyro.get_mask() is None
    with mask(mask=True):
        assert numpyro.get_mask() is True


# Under transformations of JAX


def regression(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("N", len(x)):
        return numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def log_joint(slope, x, y):
    found = trace(substitute(regression, data={"slope": slope})).get_trace(x, y)
    return sum(jnp.sum(s["fn"].log_prob(s["value"])) for s in found.values() if s["type"] == "sample")


def test_models_run_under_jit_vmap_and_grad():
    x, y = jnp.arange(3.0), jnp.array([0.0, 2.0, 3.0])
    # d/ds of -s^2/2 - sum (y - s x)^2 / 2 is -s + sum x (y - s x).
    slopes = jnp.array([0.0, 0.5])
    expected = -slopes + jnp.sum(x * (y - slopes[:, None] * x), axis=-1)
    gradients = jax.jit(jax.vmap(jax.grad(log_joint), in_axes=(0, None, None)))(slopes, x, y)
    np.testing.assert_allclose(gradients, expected, rtol=1e-6)


def test_drawing_under_vmap_gives_different_draws():
    draw = jax.jit(jax.vmap(lambda key: seed(regression, rng_seed=key)(jnp.arange(3.0), None)))
    draws = draw(jax.random.split(jax.random.key(0), 5))
    assert draws.shape == (5, 3) and len(np.unique(draws[:, 0])) == 5


def test_conflict_with_the_inner_plate_names_the_outer_one_too():
    def model():
        with numpyro.plate("rows", 3), numpyro.plate("columns", 4):
            numpyro.sample("x", dist.Normal(jnp.zeros((3, 4)), 1.0))

    with pytest.raises(ValueError) as error:
        seed(model, 0)()
    for words in ["plate 'rows' of size 3 at dim -1", "plate 'columns' of size 4 at dim -2", r"batch shape \(3, 4\)"]:
        error.match(words)
