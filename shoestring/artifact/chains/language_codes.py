"""The codes of two letters (ISO 639-1) of languages whose labels have three (ISO 639-3)."""

from __future__ import annotations

from collections.abc import Sequence

_LANGUAGES = """
    abk ab  afr af  aka ak  als sq  amh am  arb ar  ayr ay  azj az  bam bm  bel be  ben bn
    bis bi  bod bo  bos bs  bre br  bul bg  cat ca  ces cs  cha ch  cmn zh  cos co  cym cy
    dan da  deu de  div dv  ell el  eng en  epo eo  est et  eus eu  ewe ee  fao fo  fij fj
    fin fi  fra fr  fri fy  fuc ff  gax om  gla gd  gle ga  glg gl  gug gn  guj gu  hat ht
    hau ha  heb he  hin hi  hrv hr  hun hu  hye hy  ibo ig  ido io  iii ii  ike iu  ina ia
    ind id  isl is  ita it  jav jv  jpn ja  kal kl  kan kn  kat ka  kaz kk  khk mn  khm km
    kin rw  kir ky  knc kr  kng kg  kor ko  lao lo  lat la  lav lv  lin ln  lit lt  ltz lb
    lug lg  mah mh  mal ml  mar mr  mkd mk  mlt mt  mly ms  mri mi  mya my  nav nv  nbl nr
    ndo ng  nep ne  nld nl  nno nn  nob no  nya ny  ojb oj  oss os  pan pa  pes fa  plt mg
    pol pl  por pt  qud qu  qug qu  quy qu  quz qu  qva qu  qvc qu  qvh qu  qvm qu  qvn qu
    qwh qu  qxa qu  qxn qu  qxu qu  roh rm  ron ro  run rn  rus ru  sag sg  san sa  slk sk
    slv sl  sme se  smo sm  sna sn  som so  sot st  spa es  src sc  srp sr  ssw ss  sun su
    swe sv  swh sw  tah ty  tam ta  tat tt  tgk tg  tgl tl  tha th  tir ti  ton to  tsn tn
    tso ts  tuk tk  tur tr  uig ug  ukr uk  urd ur  uzn uz  ven ve  vie vi  wln wa  wol wo
    xho xh  ydd yi  yor yo  zul zu
"""
_FAMILIES = """
    ara ar  aym ay  aze az  ful ff  fas fa  grn gn  iku iu  kau kr  kom kv  kon kg  kur ku
    kmr ku  mlg mg  mon mn  msa ms  nor no  oji oj  orm om  que qu  sqi sq  swa sw  uzb uz
    yid yi  zho zh  hbs sh
"""
"""Codes of three letters for several languages in one, where a file has no finer ones."""


def _pairs(text: str) -> dict[str, str]:
    return dict(zip(text.split()[::2], text.split()[1::2], strict=True))


CODES = _pairs(_LANGUAGES)
"""Of the languages of the Universal Declaration of Human Rights: two letters by three.

Several kinds of one language have its code: all kinds of Quechua are "qu", Mandarin is "zh".
"""


def with_code(code: str, labels: Sequence[str]) -> list[str]:
    """The labels, up to "_", whose code of two letters is this; each once."""
    known = CODES | _pairs(_FAMILIES)
    code = "no" if code.lower() == "nb" else code.lower()
    parts = dict.fromkeys(label.partition("_")[0] for label in labels)
    return [part for part in parts if known.get(part) == code]
