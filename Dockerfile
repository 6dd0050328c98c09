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
# --proxy-headers believes X-Forwarded-For: reach it only through a proxy that sets the header itself.
CMD ["python", "-m", "realtime.server", "-b", "0.0.0.0", "-p", "8000", "--proxy-headers", "hopeflow_site.asgi:application"]
