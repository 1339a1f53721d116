"""Real data as Tasks, one file each."""

from shoestring.kit.corpora.conllu import Sentence, sentences_of
from shoestring.tasks.adult import Columns, adult, adult_columns
from shoestring.tasks.bccd import BLOOD_CELLS, BloodPictures, bccd, blood_pictures
from shoestring.tasks.byte_text import ByteText, byte_text, lines_of
from shoestring.tasks.cifar10 import cifar10
from shoestring.tasks.cranfield import Collection, cranfield
from shoestring.tasks.digits import digits
from shoestring.tasks.drawn_digits import drawn_digits
from shoestring.tasks.ewt import TaggingVocabulary, ewt, ewt_vocabulary, known_words_dropped
from shoestring.tasks.fetch import DataError
from shoestring.tasks.fsdd import FSDD_CHAIN, Recordings, fsdd, fsdd_recordings, moved_and_louder
from shoestring.tasks.head_final import head_final
from shoestring.tasks.isbi import isbi, mean_overlap, membranes
from shoestring.tasks.mnist import fashion_mnist, mnist
from shoestring.tasks.movie_reviews import (
    NextWord,
    ReviewVocabulary,
    movie_reviews,
    perplexity,
    review_bytes,
    review_vocabulary,
)
from shoestring.tasks.multi30k import multi30k, multi30k_lines, multi30k_pieces
from shoestring.tasks.omniglot import Characters, omniglot_runs, omniglot_small
from shoestring.tasks.other_texts import other_texts
from shoestring.tasks.pieces import Pieces, pieces
from shoestring.tasks.preordering import (
    Reordered,
    fuzzy_reordering_score,
    kendall_tau,
    order_scores,
    preordering,
)
from shoestring.tasks.scripts import with_scripts
from shoestring.tasks.sequences import segmenting, tagging, taught_rows, word_f1, written
from shoestring.tasks.sst2 import Vocabulary, sst2, sst2_vocabulary, words_dropped
from shoestring.tasks.translation import Beam, Greedy, Translation, bleu
from shoestring.tasks.trec import QUESTION_KINDS, trec, trec_vocabulary
from shoestring.tasks.treebanks import treebank
from shoestring.tasks.typed_lines import typed_lines
from shoestring.tasks.udhr import (
    LabelledTexts,
    excerpts,
    identifying,
    labelled_texts,
    letters_of,
    udhr,
    without_variants,
)
from shoestring.tasks.unlabelled_english import unlabelled_english
from shoestring.tasks.word_clusters import word_clusters

__all__ = [
    "BLOOD_CELLS",
    "FSDD_CHAIN",
    "QUESTION_KINDS",
    "Beam",
    "BloodPictures",
    "ByteText",
    "Characters",
    "Collection",
    "Columns",
    "DataError",
    "Greedy",
    "LabelledTexts",
    "NextWord",
    "Pieces",
    "Recordings",
    "Reordered",
    "ReviewVocabulary",
    "Sentence",
    "TaggingVocabulary",
    "Translation",
    "Vocabulary",
    "adult",
    "adult_columns",
    "bccd",
    "bleu",
    "blood_pictures",
    "byte_text",
    "cifar10",
    "cranfield",
    "digits",
    "drawn_digits",
    "ewt",
    "ewt_vocabulary",
    "excerpts",
    "fashion_mnist",
    "fsdd",
    "fsdd_recordings",
    "fuzzy_reordering_score",
    "head_final",
    "identifying",
    "isbi",
    "kendall_tau",
    "known_words_dropped",
    "labelled_texts",
    "letters_of",
    "lines_of",
    "mean_overlap",
    "membranes",
    "mnist",
    "moved_and_louder",
    "movie_reviews",
    "multi30k",
    "multi30k_lines",
    "multi30k_pieces",
    "omniglot_runs",
    "omniglot_small",
    "order_scores",
    "other_texts",
    "perplexity",
    "pieces",
    "preordering",
    "review_bytes",
    "review_vocabulary",
    "segmenting",
    "sentences_of",
    "sst2",
    "sst2_vocabulary",
    "tagging",
    "taught_rows",
    "trec",
    "trec_vocabulary",
    "treebank",
    "typed_lines",
    "udhr",
    "unlabelled_english",
    "with_scripts",
    "without_variants",
    "word_clusters",
    "word_f1",
    "words_dropped",
    "written",
]
