"""The views: a public page, who the client is, and a small API."""

import hashlib

from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from rest_framework import serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView

from notes.models import Note

MAX_STREAMED_LINES = 100_000


def home(request):
    """The public page."""
    return render(request, "notes/home.html", {"count": Note.objects.count()})


def whoami(request):
    """What the server says about the client: the claims of its token, or null."""
    verified = request.META.get("ferricorn.jwt")
    return JsonResponse({"claims": None if verified is None else verified["claims"]})


class NoteSerializer(serializers.ModelSerializer):
    """A note as JSON."""

    class Meta:
        model = Note
        fields = ["id", "title", "text", "created"]


class NoteViewSet(viewsets.ModelViewSet):
    """The notes of the user whose token it is."""

    serializer_class = NoteSerializer

    def get_queryset(self):
        """Nobody sees the notes of others."""
        return Note.objects.filter(owner=self.request.user)

    def perform_create(self, serializer):
        """A new note belongs to who made it."""
        serializer.save(owner=self.request.user)


class Me(APIView):
    """The user whose token it is."""

    def get(self, request):
        """Name and claims."""
        return Response({"username": request.user.get_username(), "user_id": request.user.pk})


class Upload(APIView):
    """Takes a file, keeps nothing, and says what it was."""

    parser_classes = [MultiPartParser]

    def post(self, request):
        """Length and SHA-256 of the part named ``file``."""
        upload = request.data.get("file")
        if not hasattr(upload, "chunks"):
            raise ValidationError({"file": ["A file is needed."]})
        digest = hashlib.sha256()
        for chunk in upload.chunks():
            digest.update(chunk)
        return Response({"name": upload.name, "length": upload.size, "sha256": digest.hexdigest()}, status=201)


class Stream(APIView):
    """A response that is made while it is sent."""

    def get(self, request):
        """``?lines=N`` numbered lines, one piece each."""
        try:
            lines = int(request.query_params.get("lines", "10"))
        except ValueError:
            raise ValidationError({"lines": ["A whole number is needed."]}) from None
        if not 0 <= lines <= MAX_STREAMED_LINES:
            raise ValidationError({"lines": [f"At most {MAX_STREAMED_LINES}."]})
        pieces = (f"line {number}\n" for number in range(lines))
        return StreamingHttpResponse(pieces, content_type="text/plain; charset=utf-8")


class Echo(APIView):
    """What of a request reached the view."""

    # Content of any type is wanted as it is.
    parser_classes = []

    def answer(self, request):
        """Method, target and content as Django sees them."""
        content = request._request.body
        return Response(
            {
                "method": request.method,
                "path": request.path,
                "query": request.META["QUERY_STRING"],
                "length": len(content),
                "content": content.decode("utf-8", "replace"),
            }
        )

    get = post = put = patch = delete = answer
