"""The codes of languages that other tools use, beside those of the declaration's files.

A language of the declaration has a code of ISO 639-3, tools mostly have ISO 639-1. Where the tools
know one language and the declaration several of its kinds, these count as one: all kinds of Quechua
are "qu", "pes" is "fa". Norwegian "no" is Bokmål here, and "nn" is Nynorsk.
"""

from __future__ import annotations

_OURS = """
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
"""Pairs: three letters of our label, and the code for it. Codes without a pair are the same."""
CODES = dict(zip(_OURS.split()[::2], _OURS.split()[1::2], strict=True))
ALIASES = {
    "iw": "he",
    "jw": "jv",
    "nb": "no",
    "fil": "tl",
    "tw": "ak",
    "gug": "gn",
    "uzs": "uz",
    "zh-Hant": "zh",
    "sr-ME": "sr",
    "als": "gsw",  # fastText: Alemannic; in ISO 639-3 it is Tosk Albanian
}
"""Other codes of tools, and what is written here for them."""


def of_label(label: str) -> str:
    """The code for one of our labels."""
    return CODES.get(label[:3], label[:3])


def of_tool(code: str) -> str:
    """The code for an answer of a tool."""
    return ALIASES.get(code, code)
