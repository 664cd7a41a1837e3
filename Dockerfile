# The app in a container: docker build -t lesions . && docker run -p 8501:8501 lesions
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt requirements-app.txt ./
RUN pip install --no-cache-dir -r requirements-app.txt
COPY .streamlit .streamlit
COPY lesions lesions
COPY models models
COPY app.py ./
ENV TF_CPP_MIN_LOG_LEVEL=3 HOME=/tmp LESIONS_CONTAINER=1
USER nobody
EXPOSE 8501
# For the service instead: docker run -p 8000:8000 lesions python -m lesions serve --host 0.0.0.0
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.headless=true"]
