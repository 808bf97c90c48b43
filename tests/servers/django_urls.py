"""The two paths of the Django server. Django imports this module when its settings are complete."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from oauth2_provider.views import ProtectedResourceView, TokenView

from tests.servers.control import PING_PATH, TOKEN_PATH, pong


class PingView(ProtectedResourceView):
    """The ping, protected by the toolkit."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(pong())


urlpatterns = [path(TOKEN_PATH[1:], TokenView.as_view()), path(PING_PATH[1:], PingView.as_view())]
