"""What a factory is called with, as the name of the app says it: `module:factory("production", debug=True)`."""

import ast


def arguments(text):
    """Positional and named ones; they are literals, so nothing is run but the factory."""
    wrong = ValueError(f"({text}) are no arguments: write literals, such as (\"production\", debug=True)")
    try:
        call = ast.parse(f"factory({text})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise wrong
        positional = tuple([ast.literal_eval(value) for value in call.args])
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise wrong from None
    if None in named:
        raise wrong
    return positional, named
