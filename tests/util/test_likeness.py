import pytest

from nsbench.recipes.generation import Generation
from nsbench.suites.load import shipped
from nsbench.util.likeness import most_alike

MODELS = [
    "resnet50", "vit_base_patch16_224", "resnet18", "resnet101", "resnet51q", "resnet50.a1_in1k",
    "resnet50.d_in1k", "resnetv2_50", "swin_tiny_patch4_window7_224", "tresnet_l", "tresnet_xl",
    "vit_large_patch16_224", "wide_resnet50_2",
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("resnet5O", "resnet50"),  # not resnet50.d_in1k, of which more letters are right
        ("resnet1O1", "resnet101"),
        ("resnetl8", "resnet18"),
        ("ResNet-50", "resnet50"),
        ("resnet_50", "resnet50"),
        ("resent50", "resnet50"),
        ("resnet5", "resnet50"),
        ("resnet", "resnet50"),
        ("resnetx", "resnet50"),  # not tresnet_xl
        ("resnet50.a1", "resnet50.a1_in1k"),
        ("vit", "vit_base_patch16_224"),
        ("vit_b_16", "vit_base_patch16_224"),
        ("vit_l_16", "vit_large_patch16_224"),
        ("swin_t", "swin_tiny_patch4_window7_224"),
        ("zzz", None),
        ("r", None),
    ],
)
def test_a_model_is_what_was_meant(wrong: str, meant: str | None) -> None:
    assert most_alike(wrong, MODELS) == meant


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("imagenetc", "imagenet-c"),
        ("imagenet_c", "imagenet-c"),
        ("ImageNet-C", "imagenet-c"),
        ("imagnet-c", "imagenet-c"),
        ("imagenet", "imagenet-1k"),
        ("imagenet1k", "imagenet-1k"),
        ("imagenetv2", "imagenet-v2-matched-frequency"),
        ("cifar10c", "cifar10-c"),
        ("digit", "digits"),
        ("x", None),
    ],
)
def test_a_suite_is_what_was_meant(wrong: str, meant: str | None) -> None:
    assert most_alike(wrong, shipped()) == meant


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("learning_rate", "lr"),
        ("learning-rate", "lr"),
        ("batch-size", "batch_size"),
        ("batchsize", "batch_size"),
        ("weight-decay", "weight_decay"),
        ("num_epochs", "epochs"),
        ("img_size", "image_size"),
        ("model", "arch"),
        ("epoch", "epochs"),
        ("drop_rate", "dropout"),
    ],
)
def test_a_key_is_what_was_meant(wrong: str, meant: str) -> None:
    assert most_alike(wrong, Generation.model_fields) == meant
