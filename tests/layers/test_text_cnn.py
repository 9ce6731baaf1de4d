import pytest
import torch
import torch.nn.functional as F

from recbole_marn.layers import text_cnn
from recbole_marn.layers.kernels import window_maximum as kernel
from recbole_marn.layers.text_cnn import TextEncoder

VOCABULARY, WORD_SIZE = 12, 5


def titles(n=9, width=8):
    """Random titles of 0 to `width` words; the first has none, the second one, the third is full."""
    words = torch.randint(1, VOCABULARY, (n, width))
    length = torch.randint(0, width + 1, (n,))
    length[:3] = torch.tensor([0, 1, width])
    return words * (torch.arange(width) < length[:, None])


def encoder(**changes):
    arguments = {"width": 4, "word_vectors": torch.randn(VOCABULARY, WORD_SIZE), "filters": 3, **changes}
    return TextEncoder(**arguments)


def pair(trainable):
    """The fast and the reference encoder with the same parameters."""
    vectors = torch.randn(VOCABULARY, WORD_SIZE)
    fast = encoder(word_vectors=vectors, trainable=trainable)
    plain = encoder(word_vectors=vectors, trainable=trainable, reference=True)
    plain.load_state_dict(fast.state_dict())
    return fast, plain


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("chunk", [2, 256])
@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.usefixtures("loops")
def test_fast_path_equals_conv1d_with_all_gradients(monkeypatch, trainable, chunk, width):
    monkeypatch.setattr(kernel, "CHUNK", chunk)
    monkeypatch.setattr(kernel, "GRADIENT_CHUNK", chunk)
    fast, plain = pair(trainable)
    words = titles(width=width)
    out, expected = fast(words), plain(words)
    assert torch.allclose(out, expected, atol=1e-6)
    probe = torch.randn_like(out)
    grads = torch.autograd.grad((out * probe).sum(), list(fast.parameters()))
    expected_grads = torch.autograd.grad((expected * probe).sum(), list(plain.parameters()))
    assert len(grads) == 8 + trainable
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        assert torch.allclose(grad, expected_grad, atol=1e-5)


def test_windows_in_any_order():
    vectors = torch.randn(VOCABULARY, WORD_SIZE)
    fast, plain = (encoder(word_vectors=vectors, windows=(4, 1, 3), reference=r) for r in (False, True))
    plain.load_state_dict(fast.state_dict())
    words = titles()
    assert torch.allclose(fast(words), plain(words), atol=1e-6)
    probe = torch.randn(len(words), 4)
    grads = [torch.autograd.grad((e(words) * probe).sum(), list(e.parameters())) for e in (fast, plain)]
    assert all(torch.allclose(mine, theirs, atol=1e-5) for mine, theirs in zip(*grads, strict=True))


def test_features_against_loops():
    """Every title and window by itself: Kim's formula with nothing padded but titles shorter than the window."""
    model = encoder()
    words = titles()
    rows = []
    for title in words:
        title = title[title != 0]
        features = []
        for k, convolution in zip(model.windows, model.convolutions, strict=True):
            vectors = model.word_vectors[F.pad(title, (0, max(0, k - len(title))))]
            values = [
                (convolution.weight * vectors[t : t + k].T).sum((1, 2)) + convolution.bias
                for t in range(len(vectors) - k + 1)
            ]
            features.append(torch.stack(values).amax(0).relu())
        rows.append(torch.cat(features))
    assert torch.allclose(model(words), model.align(torch.stack(rows)), atol=1e-6)


@pytest.mark.parametrize("reference", [False, True])
def test_more_padding_changes_nothing(reference):
    model = encoder(reference=reference)
    with torch.no_grad():
        for convolution in model.convolutions:
            convolution.bias.fill_(2.0)  # a window of padding alone would win against negative words
    words = titles()
    assert torch.allclose(model(words), model(F.pad(words, (0, 5))), atol=1e-6)
    assert torch.allclose(model(words[1:2]), model(words[1:2, :1]), atol=1e-6)


def test_a_title_does_not_depend_on_its_neighbours():
    model = encoder()
    words = titles()
    alone = torch.cat([model(title[None]) for title in words])
    assert torch.allclose(model(words), alone, atol=1e-6)


@pytest.mark.parametrize("reference", [False, True])
def test_an_unknown_word_inside_a_title_is_a_zero_vector(reference):
    vectors = torch.randn(VOCABULARY, WORD_SIZE)
    vectors[7] = 0.0
    model = encoder(word_vectors=vectors, reference=reference)
    unknown = torch.tensor([[3, 0, 5, 0], [0, 3, 0, 0], [0, 0, 4, 6]])
    spelled = torch.tensor([[3, 7, 5, 0], [7, 3, 0, 0], [7, 7, 4, 6]])
    assert torch.allclose(model(unknown), model(spelled), atol=1e-6)
    assert not torch.allclose(model(unknown)[1], model(torch.tensor([[3, 0, 0, 0]]))[0])


def test_missing_titles_give_no_nan():
    model = encoder(trainable=True)
    out = model(torch.zeros(2, 6, dtype=torch.long))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert model(torch.zeros(0, 6, dtype=torch.long)).shape == (0, 4)


@pytest.mark.parametrize("reference", [False, True])
def test_padding_vector_is_zero_and_stays_zero(reference):
    model = encoder(trainable=True, reference=reference)
    assert model.word_vectors[0].abs().sum() == 0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(titles()).square().sum().backward()
        optimizer.step()
    assert model.word_vectors[0].abs().sum() == 0


def test_frozen_vectors_are_a_copy_outside_the_state_dict():
    vectors = torch.ones(VOCABULARY, WORD_SIZE, dtype=torch.float16)
    model = encoder(word_vectors=vectors)
    assert vectors[0].sum() == WORD_SIZE
    assert model.word_vectors.dtype == torch.float32
    assert "word_vectors" not in model.state_dict()
    assert "word_vectors" in encoder(trainable=True).state_dict()


def test_words_are_learned_when_no_vectors_are_given():
    model = TextEncoder(width=4, vocabulary=VOCABULARY, word_size=WORD_SIZE)
    model(titles()).sum().backward()
    assert model.word_vectors.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "Expected either word_vectors or both vocabulary and word_size"),
        ({"vocabulary": 4}, "vocabulary 4, word_size None"),
        ({"word_vectors": torch.ones(3, 2), "vocabulary": 3, "word_size": 2}, "word_vectors present"),
        ({"vocabulary": 4, "word_size": 2, "trainable": False}, "Expected word vectors to keep frozen"),
    ],
)
def test_refuses_what_is_ambiguous(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextEncoder(width=4, **arguments)


@pytest.mark.parametrize("find_distinct", [True, False])
@pytest.mark.parametrize("vocabulary", [9, 10_000])
def test_each_place_holds_its_word_whatever_is_multiplied(vocabulary, find_distinct):
    words = torch.randint(0, 9, (4, 5))
    word, place = text_cnn._words_to_multiply(words, vocabulary, find_distinct=find_distinct)
    assert place.shape == words.shape and torch.equal(word[place], words)
    assert len(word) <= min(vocabulary, words.numel())
