from nsbench.randomness import generator, stable_hash


def test_hashes_are_the_same_on_every_machine() -> None:
    assert stable_hash("digits", 7) == 86251032987204265304340427801091898431
    assert stable_hash("ab", "c") != stable_hash("a", "bc")


def test_streams_depend_on_every_key() -> None:
    first = generator(0, "image", "fog/3").random(3).tolist()
    assert generator(0, "image", "fog/3").random(3).tolist() == first
    for other in (generator(1, "image", "fog/3"), generator(0, "image", "fog/4")):
        assert other.random(3).tolist() != first
