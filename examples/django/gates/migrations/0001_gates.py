"""The tables of the site. Made by `manage.py makemigrations`."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Gate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40)),
                ('hangul', models.CharField(max_length=20)),
                ('slug', models.SlugField(unique=True)),
                ('meaning', models.CharField(max_length=80)),
                ('side', models.CharField(max_length=12)),
                ('is_great', models.BooleanField(verbose_name='one of the four great gates')),
                ('is_standing', models.BooleanField()),
                ('built', models.PositiveSmallIntegerField()),
                ('story', models.TextField()),
            ],
            options={
                'ordering': ['-is_great', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Photo',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=80)),
                ('picture', models.FileField(upload_to='album', validators=[django.core.validators.FileExtensionValidator(['gif', 'jpeg', 'jpg', 'png', 'webp'])])),
                ('sha256', models.CharField(editable=False, max_length=64, verbose_name='SHA-256')),
                ('uploaded_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-uploaded_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('author', models.CharField(max_length=40, verbose_name='your name')),
                ('text', models.CharField(max_length=280, verbose_name='your line')),
                ('is_keeper', models.BooleanField(default=False, verbose_name='written by a logged-in keeper')),
                ('written_at', models.DateTimeField(auto_now_add=True)),
                ('gate', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notes', to='gates.gate')),
            ],
            options={
                'ordering': ['-written_at', '-id'],
            },
        ),
    ]
