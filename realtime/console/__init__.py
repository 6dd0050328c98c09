"""The live console of Django's admin: who is connected, and what becomes of a publish, while somebody looks.

`desk` is the socket of one operator, `operators` says who may be one, `frames` what the page may send and `deeds` what
then happens. What is seen is a `survey` of all processes, of which each answers with its `page` and the `numbers` that
it has counted anyway. Nothing is kept or counted for a console that nobody has opened.
"""
