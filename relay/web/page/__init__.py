"""The messages page: server-rendered HTML for sellers, moderators and operators, on the daemon's own loop.

A view is a router in a module of its own here, listed in app.py; its template in templates/, its words in
texts/ in every language, its entry in the menu in menu.py. Who may see it is said by the type of one parameter
(viewer.py); all that is not public needs a session, and every POST a token, without a word from the view.
"""
