FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt

COPY manage.py .
COPY hopeflow_site hopeflow_site
COPY realtime realtime

RUN useradd --system hopeflow
USER hopeflow

EXPOSE 8000
# --websocket_timeout -1: else Daphne closes each socket after a day.
# --websocket-max-message-size is for both directions, and an envelope may hold the 4 MiB of a request body.
# --proxy-headers believes X-Forwarded-For: reach it only through a proxy that sets the header itself.
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "--proxy-headers", "--websocket_timeout", "-1", "--websocket-max-message-size", "5242880", "hopeflow_site.asgi:application"]
