"""Reference networks, one file each.

Inputs are as the data has them, images in 0..1: the networks normalize them inside.
"""

from shoestring.models.alexnet import AlexNet
from shoestring.models.alternation import alternate, reassigned, word_costs
from shoestring.models.byte_gru import ByteGRU
from shoestring.models.causal import CausalNetwork, experts, feed_forward
from shoestring.models.centre_detector import CentreDetector
from shoestring.models.conv4 import Conv4
from shoestring.models.dcgan import DCGANAutoencoder, DCGANDiscriminator, DCGANGenerator
from shoestring.models.families import (
    Ending,
    Images,
    NgramFamily,
    ShuffleNetFamily,
    Texts,
    VGGFamily,
)
from shoestring.models.lenet import DigitsLeNet, LeNet5, LeNet300
from shoestring.models.light_rnn import LightRNN
from shoestring.models.mobilenet import MobileNet
from shoestring.models.ngram_classifier import NgramClassifier
from shoestring.models.norm_first import NormFirst
from shoestring.models.normalised import Normalised
from shoestring.models.portraits import Portraits
from shoestring.models.pre_activation import PlainNetwork, PreActivation
from shoestring.models.recurrent_tagger import RecurrentTagger
from shoestring.models.refiner import Refiner
from shoestring.models.resnet import ResNet, ResNet20
from shoestring.models.retrieval import LexicalFinder, QueryWriter
from shoestring.models.shufflenet import ShuffleNet
from shoestring.models.shufflenet_v2 import ShuffleNetV2
from shoestring.models.spoken import SpokenDigits
from shoestring.models.tabular import TabularNet
from shoestring.models.tagger import BiLSTMTagger
from shoestring.models.text_encoder import TextEncoder
from shoestring.models.translator import Translator
from shoestring.models.unet import UNet
from shoestring.models.uneven_light_rnn import UnevenLightRNN
from shoestring.models.vgg import SmallVGG
from shoestring.models.window_tagger import WindowTagger
from shoestring.models.word_lstm import AdaptiveSoftmax, TiedSoftmax, WordLSTM

__all__ = [
    "AdaptiveSoftmax",
    "AlexNet",
    "BiLSTMTagger",
    "ByteGRU",
    "CausalNetwork",
    "CentreDetector",
    "Conv4",
    "DCGANAutoencoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DigitsLeNet",
    "Ending",
    "Images",
    "LeNet5",
    "LeNet300",
    "LexicalFinder",
    "LightRNN",
    "MobileNet",
    "NgramClassifier",
    "NgramFamily",
    "NormFirst",
    "Normalised",
    "PlainNetwork",
    "Portraits",
    "PreActivation",
    "QueryWriter",
    "RecurrentTagger",
    "Refiner",
    "ResNet",
    "ResNet20",
    "ShuffleNet",
    "ShuffleNetFamily",
    "ShuffleNetV2",
    "SmallVGG",
    "SpokenDigits",
    "TabularNet",
    "TextEncoder",
    "Texts",
    "TiedSoftmax",
    "Translator",
    "UNet",
    "UnevenLightRNN",
    "VGGFamily",
    "WindowTagger",
    "WordLSTM",
    "alternate",
    "experts",
    "feed_forward",
    "reassigned",
    "word_costs",
]
