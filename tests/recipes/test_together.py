"""All recipes of an example in one copy."""

import pytest

from shared.harness.recipes import recipes_for


@pytest.mark.parametrize("turn", [1, -1], ids=["in-order", "reversed"])
def test_all_recipes_of_an_example_work_together(cook, example, turn):
    client = cook(*[*recipes_for(example)][::turn], code='\nLOCKED = ("/nothing",)\n')
    listed = client.get(f"{example.list_url}?limit=2&page=2").json
    assert [item["lang"] for item in listed] == ["chr", "en"]
    assert client.get(example.item_url.format(lang="en")).json["text"] == "Hello"
    for url in ("/price", "/frame", "/count", "/visits/1", "/visits/"):
        assert client.get(url).status_code == 200, url
    assert client.get("/files/nothing").status_code == 404
    if example.spec_url:
        paths = client.get(example.spec_url).json["paths"]
        assert {"/visits/{id}", "/files/"} <= set(paths)
        listed, item = paths[example.list_url], paths[example.item_url]
        parameters = {parameter["name"] for parameter in listed["get"]["parameters"]}
        assert parameters == {"search", "page", "limit"}
        assert {*listed, *item} >= {"get", "post", "put", "delete"}
        assert "404" in item["put"]["responses"] and "404" in item["delete"]["responses"]
