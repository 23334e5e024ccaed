"""The names of the fields of what clients send, by the field that holds them (google-genai, types.py)."""

_CONTENT = "parts role"
_BLOB = "data mimeType displayName"
_TRANSCRIPTION = (
    "languageCodes languageAuto languageHints customVocabulary adaptationPhrases wordTimestamp diarization mode "
    "sourceText"
)

FIELDS = {
    "message": "setup clientContent realtimeInput toolResponse contextUpdate",
    "setup": (
        "model generationConfig systemInstruction tools sessionResumption contextWindowCompression "
        "inputAudioTranscription outputAudioTranscription realtimeInputConfig proactivity explicitVadSignal "
        "historyConfig avatarConfig safetySettings labels"
    ),
    "generationConfig": (
        "modelSelectionConfig responseJsonSchema audioTimestamp candidateCount enableAffectiveDialog frequencyPenalty "
        "logprobs maxOutputTokens mediaResolution presencePenalty responseLogprobs responseMimeType "
        "responseModalities responseSchema routingConfig seed speechConfig stopSequences temperature thinkingConfig "
        "topK topP enableEnhancedCivicAnswers responseFormat translationConfig audioTranscriptionConfig"
    ),
    "speechConfig": "voiceConfig languageCode multiSpeakerVoiceConfig",
    "thinkingConfig": "includeThoughts thinkingBudget thinkingLevel",
    "systemInstruction": _CONTENT,
    "sessionResumption": "handle transparent",
    "contextWindowCompression": "triggerTokens slidingWindow",
    "slidingWindow": "targetTokens",
    "inputAudioTranscription": _TRANSCRIPTION,
    "outputAudioTranscription": _TRANSCRIPTION,
    "realtimeInputConfig": (
        "automaticActivityDetection activityHandling turnCoverage interimTranscriptTimestampEnabled"
    ),
    "automaticActivityDetection": (
        "disabled startOfSpeechSensitivity endOfSpeechSensitivity prefixPaddingMs silenceDurationMs"
    ),
    "proactivity": "proactiveAudio proactiveVideo",
    "historyConfig": "initialHistoryInClientContent",
    "tools": (
        "retrieval computerUse fileSearch googleSearch googleMaps codeExecution enterpriseWebSearch "
        "functionDeclarations googleSearchRetrieval parallelAiSearch urlContext mcpServers exaAiSearch"
    ),
    "functionDeclarations": ("description name parameters parametersJsonSchema response responseJsonSchema behavior"),
    "clientContent": "turns turnComplete",
    "turns": _CONTENT,
    "parts": (
        "mediaResolution codeExecutionResult executableCode fileData functionCall functionResponse inlineData text "
        "thought thoughtSignature videoMetadata toolCall toolResponse partMetadata audioTranscription mediaProcessing "
        "speechMetadata documentMetadata spreadsheetMetadata audioMetadata"
    ),
    "inlineData": _BLOB,
    "realtimeInput": "mediaChunks audio audioStreamEnd video text activityStart activityEnd",
    "mediaChunks": _BLOB,
    "audio": _BLOB,
    "video": _BLOB,
    "toolResponse": "functionResponses",
    "functionResponses": "willContinue scheduling parts id name response",
    "contextUpdate": "systemInstruction tools",
    "updatedTools": "tools",
}
"""In camelCase, separated by spaces."""
