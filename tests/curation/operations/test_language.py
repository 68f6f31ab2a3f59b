"""Languages of one script are told apart by short titles of products."""

import sys

import pyarrow as pa
import pytest

from rope.curation.operations.language import Language, find_language
from rope.curation.pipeline.recipe import read_recipe
from rope.errors import MissingExtraError, UsageError

WESTERN = ["en", "de", "fr", "es", "it"]
TITLES = {
    "en": (
        "lamp|curtain|leather belt|wall clock|mug|summer dress|wireless mouse|stainless steel water bottle|"
        "kids' rain boots with dinosaurs|Red ceramic coffee mug with handle|"
        "Women's summer dress, floral print|Wireless mouse for laptop, silent click|"
        "Stainless steel water bottle 750 ml|Kids' rain boots with dinosaurs|Leather wallet for men, slim|"
        "Organic green tea, 20 bags|Running shoes lightweight breathable|Bamboo cutting board, large|"
        "Desk lamp with USB charging port"
    ),
    "de": (
        "Handschuhe|Wanduhr|schwarzer Gürtel|warme Handschuhe|Kaffeetasse|rotes Sommerkleid|Kabellose Maus|"
        "Trinkflasche aus Edelstahl|Gummistiefel für Kinder|Rote Kaffeetasse aus Keramik|"
        "Damen Sommerkleid mit Blumenmuster|Kabellose Maus für Laptop, leise|"
        "Trinkflasche aus Edelstahl 750 ml|Gummistiefel für Kinder mit Dinosauriern|"
        "Herren Geldbörse aus Leder, schmal|Bio Grüntee, 20 Beutel|Laufschuhe leicht und atmungsaktiv|"
        "Schneidebrett aus Bambus, groß|Schreibtischlampe mit USB-Anschluss"
    ),
    "fr": (
        "casquette|rideau|ceinture cuir|horloge murale|gobelet|robe d'été|souris sans fil|"
        "bouteille en acier inoxydable|bottes de pluie enfant|Tasse à café rouge en céramique|"
        "Robe d'été femme à fleurs|Souris sans fil pour ordinateur portable|"
        "Bouteille en acier inoxydable 750 ml|Bottes de pluie enfant dinosaures|"
        "Portefeuille homme en cuir, fin|Thé vert bio, 20 sachets|Chaussures de course légères|"
        "Planche à découper en bambou|Lampe de bureau avec port USB"
    ),
    "es": (
        "mochila|cortina|cinturón negro|reloj pared|zapatillas|vestido de verano|ratón inalámbrico|"
        "botella de acero inoxidable|botas de lluvia|Taza de café roja de cerámica|"
        "Vestido de verano para mujer con flores|Ratón inalámbrico para portátil|"
        "Botella de acero inoxidable 750 ml|Botas de lluvia para niños|Cartera de piel para hombre|"
        "Té verde ecológico, 20 bolsitas|Zapatillas de correr ligeras|Tabla de cortar de bambú grande|"
        "Lámpara de escritorio con puerto USB"
    ),
    "it": (
        "zaino|tenda|cintura nera|orologio parete|borraccia|vestito estivo|mouse senza fili|"
        "borraccia in acciaio inox|stivali da pioggia bambini|Tazza da caffè rossa in ceramica|"
        "Vestito estivo da donna a fiori|Mouse senza fili per portatile|Borraccia in acciaio inox 750 ml|"
        "Stivali da pioggia per bambini|Portafoglio uomo in pelle sottile|Tè verde biologico, 20 bustine|"
        "Scarpe da corsa leggere|Tagliere in bambù grande|Lampada da scrivania con porta USB"
    ),
    "zh": (
        "杯子|碎花连衣裙|无线鼠标静音办公|不锈钢保温杯大容量|儿童雨靴防滑|红色陶瓷咖啡杯|女士夏季碎花连衣裙|"
        "男士真皮钱包|有机绿茶袋泡|轻便透气跑步鞋|竹制砧板|护眼台灯"
    ),
    "ja": (
        "コップ|花柄ワンピース|ワイヤレスマウス静音|ステンレス水筒 大容量|赤い陶器のコーヒーカップ|"
        "レディース夏の花柄ワンピース|キッズ長靴 恐竜柄|メンズ本革財布 スリム|有機緑茶ティーバッグ|"
        "軽量ランニングシューズ|竹のまな板 大きめ|デスクライト USB充電"
    ),
}
"""Language -> titles, with bars between them."""

KANJI_ALONE = ["陶器製珈琲碗", "婦人用夏物", "子供用雨靴", "紳士用本革財布", "有機緑茶"]


def told(texts, **options):
    rows = pa.RecordBatch.from_pydict({"id": [str(i) for i in range(len(texts))], "domain": ["page"] * len(texts),
                                       "text": pa.array(texts, pa.string())})  # fmt: skip
    return find_language(rows, Language(**options)).kept.to_pylist()


def languages(texts, **options):
    return [row["language"] for row in told(texts, **options)]


def test_most_titles_are_told_right_and_the_more_words_they_have_the_more_of_them():
    pytest.importorskip("py3langid")
    right: dict[str, list[bool]] = {}
    for code, listed in TITLES.items():
        texts = listed.split("|")
        for text, found in zip(texts, languages(texts, languages=list(TITLES)), strict=True):
            n_words = len(text.split()) if code in WESTERN else 0
            size = code if code not in WESTERN else "1 word" if n_words == 1 else "2, 3" if n_words < 4 else "4 or more"
            right.setdefault(size, []).append(found == code)
    shares = {size: sum(hits) / len(hits) for size, hits in right.items()}
    at_least = {"1 word": 0.4, "2, 3": 0.75, "4 or more": 0.95, "zh": 0.95, "ja": 0.95}
    assert {size for size, share in shares.items() if share >= at_least[size]} == set(at_least)


def test_japanese_without_kana_is_taken_for_chinese_as_the_page_says():
    pytest.importorskip("py3langid")
    assert set(languages(KANJI_ALONE, languages=["zh", "ja"])) == {"zh"}


def test_the_probability_is_among_the_languages_and_a_text_without_letters_has_none():
    pytest.importorskip("py3langid")
    sure, empty, missing = told(["Gummistiefel für Kinder mit Dinosauriern", "750 ★", None], languages=["en", "de"])
    assert (sure["language"], 0.9 < sure["language_probability"] <= 1) == ("de", True)
    assert {(row["language"], row["language_probability"]) for row in (empty, missing)} == {("none", None)}
    assert languages(["Gummistiefel für Kinder"], languages=["en", "fr"])[0] in ("en", "fr")


def test_a_model_of_ones_own_takes_the_place_of_the_package(monkeypatch):
    for name in ("py3langid", "py3langid.langid"):
        monkeypatch.setitem(sys.modules, name, None)
    assert languages(["a", "1"], model=f"{__name__}:always_basque") == ["eu", "none"]
    with pytest.raises(UsageError, match="returned 0 pairs for 1 texts"):
        told(["a"], model=f"{__name__}:silent")
    from rope.curation.operations import language

    language._identifier.cache_clear()
    with pytest.raises(MissingExtraError, match=r"language needs py3langid, .*rope-bench\[language\]"):
        told(["a"], languages=["en", "de"])


def always_basque(texts):
    return [("eu", 0.5)] * len(texts)


def silent(texts):
    return []


def test_languages_that_are_missing_or_unknown_are_refused(tmp_path):
    pytest.importorskip("py3langid")
    with pytest.raises(UsageError, match="expected the two or more that texts of the pool are in"):
        Language(languages=["de"])
    with pytest.raises(UsageError, match="xx: not known; expected codes such as en"):
        told(["a"], languages=["de", "xx"])
    (tmp_path / "r.toml").write_text('[pool]\npath = "p"\n[[stage]]\nuse = "language"\n')
    with pytest.raises(UsageError, match="languages"):
        read_recipe(tmp_path / "r.toml")
